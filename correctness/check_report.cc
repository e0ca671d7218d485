#include "correctness/check_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <span>

#include "core/checkpoint/checkpoint_values.h"
#include "correctness/results/flipped_reference.h"
#include "correctness/tolerance/stack_errors.h"

namespace sluice {
namespace {

// Says what takes long.
void Announce(const JobConfig& config, Precision precision) {
  ModelConfig model = config.model;
  model.seq_len += config.prefix_len;
  fmt::print(stderr, "bounds of {}: error analysis of {:.3g} GFLOP in float64 on one core\n",
             Name(precision), StackAnalysisFlops(model, config.batch_size) / 1e9);
}

CheckedRun WithAnnouncement(CheckedRun run) {
  run.on_analysis = [config = run.config](Precision precision) { Announce(config, precision); };
  return run;
}

// The sign of a NaN says nothing.
std::string Number(double value) {
  return std::isnan(value) ? "nan" : fmt::format("{:.2e}", value);
}

std::vector<double> ToVector(std::span<const double> values) {
  return {values.begin(), values.end()};
}

}  // namespace

CheckReport::CheckReport(CheckedRun run, const SafetensorsReader& file)
    : run_(WithAnnouncement(std::move(run))), file_(file), checker_(run_) {}

int64_t CheckReport::HostBytes(const CheckedRun& run) {
  if (!ResultChecker(run).IsAnalysed()) return 0;
  const ModelConfig& model = run.config.model;
  const int64_t kept =
      NumParameters(model) + 2 * model.seq_len * run.config.batch_size * model.hidden_size;
  return ResultChecker::HostBytes(run) + kept * static_cast<int64_t>(sizeof(double));
}

std::vector<double> CheckReport::ReadReference(const std::string& name, size_t size) const {
  std::vector<double> values(size);
  ReadAsFloat64(file_, name, 0, values);
  return values;
}

void CheckReport::PrintHeader() {
  if (has_header_) return;
  has_header_ = true;
  fmt::print("{:<40} {:>11} {:>11} {:>11} {:>11}\n", "tensor", "relative L2", "bound",
             "worst error", "bound");
}

void CheckReport::Add(const Result& result) {
  if (result.different_copy) different_copies_[result.name] = *result.different_copy;
  if (checker_.IsAnalysed()) {
    kept_.push_back({result.name, ToVector(result.values)});
  } else {
    Compare(result.name, result.values);
  }
}

void CheckReport::Compare(const std::string& name, std::span<const double> values) {
  PrintHeader();
  const std::vector<double> expected = ReadReference(name, values.size());
  Comparison comparison = checker_.Check(name, values, expected);
  const auto infinite =
      std::ranges::find_if_not(expected, [](double x) { return std::isfinite(x); });
  if (const auto copy = different_copies_.find(name); copy != different_copies_.end()) {
    comparison.pass = false;
    comparison.note = Describe(copy->second);
  } else if (infinite != expected.end()) {
    comparison.pass = false;
    comparison.note =
        fmt::format("the reference is {} at element {}", *infinite, infinite - expected.begin());
  }
  // A gradient in float32 may miss for a ReLU input that flipped: seen once all are there.  Where
  // the forward is wrong there is nothing to explain.
  if (MayFlip(run_) && name.ends_with("fc1.bias")) fc1_biases_[name] = ToVector(values);
  const bool may_be_flips = MayFlip(run_) && num_failed_ == 0 && name.starts_with("grad.");
  if (may_be_flips && !comparison.pass && comparison.note.empty()) {
    missed_.push_back({name, ToVector(values)});
    return Print(comparison, "  missed");
  }
  Print(comparison, comparison.pass ? "" : "  FAIL");
  Count(comparison);
}

// Compares what missed with the reference that has the run's own flips.
void CheckReport::CompareWithFlips() {
  if (missed_.empty()) return;
  Announce(run_.config, Precision::kFloat32);
  FlippedReference flipped(run_.config, run_.values);
  flipped.Resolve(fc1_biases_);
  fmt::print(
      "{} gradients missed. Rounding may move {} ReLU inputs over 0, and the gradients of fc1.bias "
      "show that it moved {} (docs/error_bounds.md). With these moved in the reference too:\n",
      missed_.size(), flipped.num_possible_flips(), flipped.flips().size());
  for (const auto& [name, values] : missed_) {
    const std::vector<double> expected = ReadReference(name, values.size());
    const Comparison comparison = checker_.Check(name, values, flipped.Apply(name, expected));
    Print(comparison, comparison.pass ? "" : "  FAIL");
    Count(comparison);
  }
}

bool CheckReport::Finish(const std::string& job_name, const std::string& reference) {
  for (const auto& [name, values] : kept_) Compare(name, values);
  CompareWithFlips();
  const bool is_within = num_tensors_ > 0 && num_failed_ == 0;
  // A wrong result would pass too.
  const bool is_unproven = run_.values != nullptr && num_unproven_ > 0;
  fmt::print("{}: {}: {} of {} tensors within their bounds; nearest: {}, at {:.3g} of its bound; ",
             is_within ? (is_unproven ? "UNPROVEN" : "PASS") : "FAIL", job_name,
             num_tensors_ - num_failed_, num_tensors_, nearest_, nearest_used_);
  if (checker_.IsAnalysed()) {
    fmt::print("widest bound: {}, {}; ", widest_, Number(widest_bound_));
  }
  fmt::print("{}\n", reference);
  if (num_unproven_ > 0) {
    fmt::print(
        stderr,
        "warning: the bounds of {} tensors are as large as the tensors in dtype {}: this check "
        "says nothing of them; check in f64\n",
        num_unproven_, Name(run_.config.precision));
  }
  return is_within && !is_unproven;
}

void CheckReport::Print(const Comparison& comparison, std::string_view verdict) const {
  const bool has_l2_bound = std::isfinite(comparison.relative_l2_bound);
  fmt::print("{:<40} {:>11} {:>11} {:>11} {:>11}{}{}\n", comparison.name,
             Number(comparison.relative_l2),
             has_l2_bound ? Number(comparison.relative_l2_bound) : "-",
             Number(comparison.worst_error), Number(comparison.worst_bound), verdict,
             comparison.note.empty() ? "" : ": " + comparison.note);
}

void CheckReport::Count(const Comparison& comparison) {
  ++num_tensors_;
  if (!comparison.pass) ++num_failed_;
  double used = ShareOfBound(comparison);
  if (std::isnan(used)) used = std::numeric_limits<double>::quiet_NaN();  // without a sign
  if (std::isfinite(comparison.relative_l2_bound)) {
    if (comparison.relative_l2_bound >= 1) ++num_unproven_;
    if (comparison.relative_l2_bound > widest_bound_) {
      widest_ = comparison.name;
      widest_bound_ = comparison.relative_l2_bound;
    }
  }
  // Once a NaN is found nothing is nearer.
  if (nearest_.empty() || (!std::isnan(nearest_used_) && !(used <= nearest_used_))) {
    nearest_ = comparison.name;
    nearest_used_ = used;
  }
}

}  // namespace sluice
