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
    "{:<28} {:>3} {:>2} {:>2} {:>7} {:>3} {:>4} {:>7} {:>3} {:>4} {:>4} {:>4} {:>4} {:>6} {:>5}\n";
constexpr const char* kCommunicationLine =
    "{:<28} {:>7} {:>9} {:>7} {:>9} {:>7} {:>9} {:>8} {:>8}\n";
constexpr const char* kMemoryLine = "{:<28} {:>4} {:>8} {:>9} {:>8} {:>9} {:>8} {:>8} {:>9}\n";

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

std::string Mebibytes(double bytes) {
  const double mib = bytes / kBytesPerMib;
  return fmt::format("{:.{}f}", mib, mib < 1000 ? 1 : 0);
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

// The numbers of a row by the names of their metrics; "-" where one is absent.
class RowValues {
 public:
  explicit RowValues(const Measurement& m) : values_(Counters(m)) {}

  void Add(const std::string& name, double value) { values_[name] = value; }

  std::string Number(const std::string& name, int num_decimals, double factor = 1) const {
    const auto value = values_.find(name);
    if (value == values_.end()) return "-";
    return fmt::format("{:.{}f}", value->second * factor, num_decimals);
  }
  std::string Mib(const std::string& name) const {
    const auto value = values_.find(name);
    return value == values_.end() ? "-" : Mebibytes(value->second);
  }

 private:
  std::map<std::string, double> values_;
};

std::string Line(const MeasuredRow& row, const MeasuredRow* one_rank) {
  const Measurement& m = row.measurement;
  const JobConfig& config = ConfigOf(row);
  RowValues values(m);
  if (one_rank) values.Add("speed_up", one_rank->measurement.median_s / m.median_s);
  if (const std::optional<double> bubble = FormulaBubble(row)) values.Add("formula", *bubble);
  return fmt::format(
      kLine, SchemeOf(row) + (WasDisturbed(row) ? "*" : ""), config.num_micro_batches,
      config.slices.size(), config.num_chunks, Milliseconds(m.median_s),
      fmt::format("{:.0f}", 100 * (m.max_s - m.min_s) / m.median_s), values.Number("speed_up", 2),
      values.Number("tokens_per_s", 0), values.Number("share_of_matmul_rate", 0, 100),
      values.Number("formula", 1, 100), values.Number("simulated_bubble_fraction", 1, 100),
      values.Number("measured_bubble_fraction", 1, 100),
      values.Number("exposed_communication_share", 1, 100), values.Mib("peak_activation_bytes"),
      values.Mib("peak_activation_gradient_bytes"));
}

std::string CommunicationLine(const MeasuredRow& row) {
  const RowValues values(row.measurement);
  return fmt::format(
      kCommunicationLine, SchemeOf(row), values.Number("num_sends", 0), values.Mib("sent_bytes"),
      values.Number("num_tensor_collectives", 0), values.Mib("tensor_collective_bytes"),
      values.Number("num_data_collectives", 0), values.Mib("data_collective_bytes"),
      values.Number("max_exposed_communication_ms", 1), values.Number("max_simulated_wait_ms", 1));
}

// The memory of the rank that allocates the most.
std::string MemoryLine(const MeasuredRow& row) {
  const std::vector<RankUse>& ranks = row.measurement.of_rank;
  const auto most = std::ranges::max_element(ranks, {}, &RankUse::allocated_bytes);
  const RankBytes& bytes = most->bytes;
  const auto mib = [](int64_t size_bytes) { return Mebibytes(static_cast<double>(size_bytes)); };
  return fmt::format(kMemoryLine, SchemeOf(row), most - ranks.begin(), mib(bytes.weights),
                     mib(bytes.weight_gradients), mib(bytes.activations),
                     mib(bytes.activation_gradients),
                     mib(most->allocated_bytes - bytes.total() + bytes.scratch), mib(bytes.input),
                     mib(most->allocated_bytes));
}

void SortByTime(std::vector<MeasuredRow>* rows) {
  std::ranges::stable_sort(*rows, {},
                           [](const MeasuredRow& row) { return row.measurement.median_s; });
}

std::string Header() {
  return fmt::format(kLine, "", "", "", "", "median", "", "x", "tokens", "%", "", "%", "", "%",
                     "activ.", "grad.") +
         fmt::format(kLine, "scheme", "m", "n", "v", "ms", "+-%", "one", "/s", "top", "form", "sim",
                     "meas", "comm", "MiB", "MiB");
}

constexpr const char* kColumns =
    "m micro-batches, n slices, v stages per rank\n"
    "+-%: maximum minus minimum, in % of the median\n"
    "x one: times as fast as one rank on the same work\n"
    "% top: share of the machine's own matrix-product rate\n"
    "% form, sim, meas: the bubble, the share of the step in which a rank computes nothing: by\n"
    "formula, by simulation with the measured op times, and measured\n"
    "% comm: exposed communication: share of the step in which the compute of the rank with the "
    "most\n"
    "waits for messages or is in collectives; --verbose has messages and bytes\n"
    "activ., grad.: peak of kept activations, and of gradients between ops, on the rank with the\n"
    "most\n"
    "--json_out writes all numbers (docs/metrics.md), --svg_out draws the schedules\n";

int64_t KeptBytes(const MeasuredRow& row) {
  return row.measurement.MaxOfRanks(
      [](const RankUse& r) { return r.bytes.activations + r.bytes.activation_gradients; });
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
  SortByTime(&rows);
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

std::string VerboseText(std::vector<MeasuredRow> rows) {
  SortByTime(&rows);
  std::string text =
      "communication of a pass: messages between stages of all ranks, collectives "
      "of a rank, and the\ntime in which a rank waits for messages, of which the "
      "order of ops alone explains the second\n";
  text += fmt::format(kCommunicationLine, "", "between", "stages", "tensor", "groups", "data",
                      "groups", "waits", "by order") +
          fmt::format(kCommunicationLine, "scheme", "number", "MiB", "number", "MiB", "number",
                      "MiB", "ms", "ms");
  for (const MeasuredRow& row : rows) text += CommunicationLine(row);
  text +=
      "\nmemory of the rank that allocates the most, in MiB; work: scratch of layers and "
      "kernels\n";
  text += fmt::format(kMemoryLine, "", "", "", "weight", "", "gradients", "", "", "") +
          fmt::format(kMemoryLine, "scheme", "rank", "weights", "gradients", "activ.", "betw. ops",
                      "work", "input", "sum");
  for (const MeasuredRow& row : rows) text += MemoryLine(row);
  return text;
}

}  // namespace sluice
