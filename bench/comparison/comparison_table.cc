#include "bench/comparison/comparison_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>

#include "bench/harness/cpu_contention.h"
#include "bench/harness/measurement_metrics.h"
#include "parallel/schemes/formulas.h"
#include "parallel/schemes/schemes.h"

namespace sluice {
namespace {

constexpr double kBytesPerMib = 1 << 20;

constexpr const char* kLine =
    "{:<28} {:>3} {:>2} {:>2} {:>7} {:>3} {:>4} {:>8} {:>3} {:>4} {:>4} {:>4} {:>7} {:>6}\n";

const JobConfig& ConfigOf(const MeasuredRow& row) { return row.row.benchmark.plan.config; }

std::string SchemeOf(const MeasuredRow& row) {
  const ParallelSizes& sizes = ConfigOf(row).sizes;
  std::string text = row.row.benchmark.job.scheme;
  if (sizes.tensor > 1 && text != "megatron") text += fmt::format(" t={}", sizes.tensor);
  if (sizes.data > 1) text += fmt::format(" d={}", sizes.data);
  return text;
}

bool WasDisturbed(const MeasuredRow& row) {
  return row.measurement.contention && IsDisturbed(*row.measurement.contention);
}

// At least four digits, in a column of seven.
std::string Milliseconds(double seconds) {
  const double ms = seconds * 1e3;
  return fmt::format("{:.{}f}", ms, ms < 100 ? 3 : ms < 10'000 ? 1 : 0);
}

// The idle time's share of the step by the scheme's formula, from the measured means of F, B and W.
std::optional<double> FormulaBubble(const MeasuredRow& row) {
  const JobConfig& config = ConfigOf(row);
  const OpTimesSummary* times = row.measurement.usable_op_times();
  if (times == nullptr || config.pass == Pass::kForward) return std::nullopt;
  const ScheduleShape shape = {.num_ranks = config.sizes.pipeline,
                               .num_micro_batches = config.num_micro_batches,
                               .num_slices = static_cast<int>(config.slices.size()),
                               .num_chunks = config.num_chunks};
  const std::optional<double> idle =
      FormulaIdleTime(FindScheme(config.scheme), shape, times->micro_batch_s);
  if (!idle) return std::nullopt;
  return *idle / (*idle + config.num_micro_batches * times->micro_batch_s.total());
}

// The row of one rank, which does the same work alone.
const MeasuredRow* FindOneRank(const std::vector<MeasuredRow>& rows) {
  const auto row = std::ranges::find(
      rows, 1, [](const MeasuredRow& r) { return ConfigOf(r).sizes.world_size(); });
  return row == rows.end() ? nullptr : &*row;
}

std::string Line(const MeasuredRow& row, const MeasuredRow* one_rank) {
  const Measurement& m = row.measurement;
  const JobConfig& config = ConfigOf(row);
  std::map<std::string, double> values = Counters(m);
  if (one_rank) values["speed_up"] = one_rank->measurement.median_s / m.median_s;
  if (const std::optional<double> bubble = FormulaBubble(row)) values["formula_bubble"] = *bubble;
  const auto text = [&](const std::string& name, int num_decimals, double factor = 1) {
    const auto value = values.find(name);
    if (value == values.end()) return std::string("-");
    return fmt::format("{:.{}f}", value->second * factor, num_decimals);
  };
  return fmt::format(
      kLine, SchemeOf(row) + (WasDisturbed(row) ? "*" : ""), config.num_micro_batches,
      config.slices.size(), config.num_chunks, Milliseconds(m.median_s),
      fmt::format("{:.0f}", 100 * (m.max_s - m.min_s) / m.median_s), text("speed_up", 2),
      text("tokens_per_s", 0), text("share_of_matmul_rate", 0, 100), text("formula_bubble", 1, 100),
      text("simulated_bubble_fraction", 1, 100), text("measured_bubble_fraction", 1, 100),
      text("peak_activation_bytes", 1, 1 / kBytesPerMib),
      text("peak_activation_gradient_bytes", 1, 1 / kBytesPerMib));
}

std::string Header() {
  return fmt::format(kLine, "", "", "", "", "median", "", "x", "", "%", "", "bubble", "%", "activ.",
                     "grads.") +
         fmt::format(kLine, "scheme", "m", "n", "v", "ms", "+-%", "one", "tokens/s", "top", "form",
                     "sim", "meas", "MiB", "MiB");
}

constexpr const char* kColumns =
    "m micro-batches, n slices, v stages per rank\n"
    "+-%: maximum minus minimum, in % of the median\n"
    "x one: times as fast as one rank on the same work\n"
    "% top: share of the machine's own matrix-product rate\n"
    "bubble %: share of the step in which a rank computes nothing: by formula, by simulation with\n"
    "the measured op times, and measured\n"
    "activ., grads.: peak of kept activations, and of gradients between ops, on the rank with the\n"
    "most\n"
    "--json_out writes all numbers (docs/metrics.md), --svg_out draws the schedules\n";

int64_t KeptBytes(const MeasuredRow& row) {
  return row.measurement.MaxOfRanks(
      [](const RankUse& r) { return r.activation_bytes + r.activation_gradient_bytes; });
}

std::string Advice(const std::vector<MeasuredRow>& rows) {
  const MeasuredRow& fastest = rows.front();
  const MeasuredRow& smallest = *std::ranges::min_element(rows, {}, KeptBytes);
  std::string text = fmt::format("least time: {}, {} ms", SchemeOf(fastest),
                                 Milliseconds(fastest.measurement.median_s));
  // Rows whose passes overlap with the fastest one's cannot be told apart from it.
  std::vector<std::string> close;
  for (const MeasuredRow& row : rows) {
    const bool overlaps = row.measurement.min_s <= fastest.measurement.max_s;
    if (&row != &fastest && overlaps) close.push_back(SchemeOf(row));
  }
  if (!close.empty()) {
    text += fmt::format("; not told apart from it by these passes: {}", fmt::join(close, ", "));
  }
  return text + fmt::format("\nleast memory: {}, {:.1f} MiB of activations and gradients\n",
                            SchemeOf(smallest),
                            static_cast<double>(KeptBytes(smallest)) / kBytesPerMib);
}

}  // namespace

std::string ComparisonText(std::vector<MeasuredRow> rows, const std::vector<LeftOut>& left_out) {
  std::ranges::stable_sort(rows, {},
                           [](const MeasuredRow& row) { return row.measurement.median_s; });
  std::string text;
  if (!rows.empty()) {
    const MeasuredRow* one_rank = FindOneRank(rows);
    text += Header();
    for (const MeasuredRow& row : rows) {
      text += Line(row, one_rank);
      if (row.row.same_schedule.empty()) continue;
      text += fmt::format("  the same schedule: {}\n", fmt::join(row.row.same_schedule, ", "));
    }
    if (std::ranges::any_of(rows, WasDisturbed)) {
      text += "* another process, the host or a CPU quota took time from these passes\n";
    }
    text += fmt::format("\n{}\n{}", Advice(rows), kColumns);
  }
  for (const LeftOut& scheme : left_out) {
    text += fmt::format("no row: {}: {}\n", scheme.scheme, scheme.reason);
  }
  return text;
}

}  // namespace sluice
