// Runs one step of any scheme and compares all its results with a reference checkpoint.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/checkpoint/reference_checkpoint.h"
#include "core/cli/flags.h"
#include "core/cli/main.h"
#include "core/cli/user_path.h"
#include "core/model/initial_values.h"
#include "correctness/results/flipped_reference.h"
#include "correctness/results/result_checker.h"
#include "correctness/results/results.h"
#include "correctness/tolerance/stack_errors.h"
#include "programs/job_flags.h"
#include "programs/job_name.h"
#include "programs/run_ranks.h"

SLUICE_TEXT_FLAG(checkpoint_path, "",
                 "the safetensors file that //correctness:save_reference wrote");

namespace sluice {
namespace {

// The reference checkpoint of a job, on the rank that reads it.
class Reference {
 public:
  Reference(const std::string& path, const JobConfig& config) : file_(path) {
    CheckReference(file_, {.model = config.model,
                           .batch_size = config.batch_size,
                           .loss = std::string(Name(config.loss)),
                           .seed = config.seed,
                           .dtype = config.precision});
    precision_ = ParsePrecision(file_.metadata().find("dtype")->second);
  }

  Precision precision() const { return precision_; }
  const std::string& commit() const { return file_.metadata().find("commit")->second; }

  // Throws Error unless the file's input, projection and weights are what every run with its seed
  // starts from: else it is a reference of something else, whatever its results are.
  void CheckInitialValues(const JobConfig& config) const {
    const ModelConfig& model = config.model;
    std::vector<double> values(
        static_cast<size_t>(model.seq_len * config.batch_size * model.hidden_size));
    FillInput<double>(config.seed, 0, values);
    CheckInitial("input", values);
    if (config.loss == LossKind::kProjection) {
      FillProjection<double>(config.seed, 0, values);
      CheckInitial("projection", values);
    }
    for (int64_t layer = 0; layer < model.num_layers; ++layer) {
      for (const ParameterSpec& parameter : LayerParameters(model)) {
        const Block whole = WholeBlock(parameter);
        values.resize(static_cast<size_t>(whole.num_elements()));
        FillParameter<double>({config.seed, layer}, parameter, whole, values);
        CheckInitial(ParameterName(layer, parameter.name), values);
      }
    }
  }

  std::vector<double> Read(const std::string& name, size_t size) const {
    std::vector<double> values(size);
    if (file_.Find(name)->dtype == SafetensorsDType::kF64) {
      file_.Read(name, std::as_writable_bytes(std::span(values)));
      return values;
    }
    std::vector<float> float32(size);
    file_.Read(name, std::as_writable_bytes(std::span(float32)));
    return {float32.begin(), float32.end()};
  }

 private:
  // Normal numbers may differ between systems by the rounding of ln, cos and the cosine's argument,
  // at most 2 pi; the file's by that of its element type.
  void CheckInitial(const std::string& name, const std::vector<double>& expected) const {
    const std::vector<double> found = Read(name, expected.size());
    const double unit_roundoff = UnitRoundoff(
        file_.Find(name)->dtype == SafetensorsDType::kF64 ? DType::kFloat64 : DType::kFloat32);
    for (size_t i = 0; i < expected.size(); ++i) {
      const double allowed = 8 * unit_roundoff * std::max(1.0, std::abs(expected[i]));
      if (std::abs(found[i] - expected[i]) <= allowed) continue;
      throw Error(fmt::format(
          "'{}' is no reference checkpoint of this run: element {} of {} is {}, but runs with its "
          "seed start from {}",
          file_.path(), i, name, found[i], expected[i]));
    }
  }

  SafetensorsReader file_;
  Precision precision_ = Precision::kFloat64;
};

// Compares results as they come, prints a line each, and counts.
class Judge {
 public:
  Judge(const JobConfig& config, const Reference& reference)
      : config_(config),
        reference_(reference),
        may_flip_(config.precision == Precision::kFloat32 &&
                  reference.precision() == Precision::kFloat64),
        checker_({.config = config,
                  .reference_precision = reference.precision(),
                  .on_analysis = [config](Precision precision) { Announce(config, precision); }}) {
    fmt::print("{:<40} {:>11} {:>11} {:>11} {:>11}\n", "tensor", "relative L2", "bound",
               "worst error", "bound");
  }

  void See(const std::string& name, std::span<const double> values) {
    const Comparison comparison =
        checker_.Check(name, values, reference_.Read(name, values.size()));
    // A gradient in float32 may miss for a ReLU input that flipped: seen once all are there.  Where
    // the forward is wrong there is nothing to explain.
    if (may_flip_ && name.ends_with("fc1.bias")) fc1_biases_[name] = ToVector(values);
    if (may_flip_ && num_failed_ == 0 && !comparison.pass && name.starts_with("grad.")) {
      missed_.emplace_back(name, ToVector(values));
      return Print(comparison, "  missed");
    }
    Print(comparison, comparison.pass ? "" : "  FAIL");
    Count(comparison);
  }

  // Compares what missed with the reference that has the run's own flips.
  void RecheckMissed() {
    if (missed_.empty()) return;
    Announce(config_, Precision::kFloat32);
    FlippedReference flipped(config_);
    flipped.Resolve(fc1_biases_);
    fmt::print(
        "{} gradients missed. Rounding may move {} ReLU inputs over 0, and the gradients of "
        "fc1.bias"
        " show that it moved {} (docs/error_bounds.md). With these moved in the reference too:\n",
        missed_.size(), flipped.num_possible_flips(), flipped.flips().size());
    for (const auto& [name, values] : missed_) {
      const std::vector<double> expected = reference_.Read(name, values.size());
      const Comparison comparison = checker_.Check(name, values, flipped.Apply(name, expected));
      Print(comparison, comparison.pass ? "" : "  FAIL");
      Count(comparison);
    }
  }

  void PrintSummary(const std::string& job_name) const {
    fmt::print(
        "{}: {}: {} of {} tensors within their "
        "bounds; nearest: {}, at {:.3g} of its bound; reference {} of commit {}\n",
        pass() ? "PASS" : "FAIL", job_name, num_tensors_ - num_failed_, num_tensors_, nearest_,
        nearest_used_, Name(reference_.precision()), Printable(reference_.commit()));
  }

  bool pass() const { return num_tensors_ > 0 && num_failed_ == 0; }

 private:
  static void Announce(const JobConfig& config, Precision precision) {
    ModelConfig model = config.model;
    model.seq_len += config.prefix_len;
    fmt::print(stderr, "bounds of {}: error analysis of {:.3g} GFLOP in float64 on one core\n",
               Name(precision), StackAnalysisFlops(model, config.batch_size) / 1e9);
  }

  static std::vector<double> ToVector(std::span<const double> values) {
    return {values.begin(), values.end()};
  }

  void Print(const Comparison& comparison, std::string_view verdict) const {
    const bool has_l2_bound = std::isfinite(comparison.relative_l2_bound);
    fmt::print("{:<40} {:>11.2e} {:>11} {:>11.2e} {:>11.2e}{}\n", comparison.name,
               comparison.relative_l2,
               has_l2_bound ? fmt::format("{:.2e}", comparison.relative_l2_bound) : "-",
               comparison.worst_error, comparison.worst_bound, verdict);
  }

  void Count(const Comparison& comparison) {
    ++num_tensors_;
    if (!comparison.pass) ++num_failed_;
    const double share = comparison.worst_error / comparison.worst_bound;
    const double used = std::isfinite(comparison.relative_l2_bound)
                            ? comparison.relative_l2 / comparison.relative_l2_bound
                            : share;
    // Once a NaN is found nothing is nearer.
    if (nearest_.empty() || (!std::isnan(nearest_used_) && !(used <= nearest_used_))) {
      nearest_ = comparison.name;
      nearest_used_ = used;
    }
  }

  const JobConfig& config_;
  const Reference& reference_;
  bool may_flip_;
  ResultChecker checker_;
  std::map<std::string, std::vector<double>> fc1_biases_;
  std::vector<std::pair<std::string, std::vector<double>>> missed_;
  int num_tensors_ = 0, num_failed_ = 0;
  std::string nearest_;
  double nearest_used_ = 0;
};

int64_t HostBytes(const JobPlan& plan) {
  return Results::HostBytes(plan) + ResultChecker::HostBytes(plan.config);
}

int Run() {
  if (!WasGiven("checkpoint_path")) {
    throw Error("--checkpoint_path is missing: make the file with //correctness:save_reference");
  }
  const Job job = JobFromFlags();
  if (job.config.prefix_len > 0) {
    throw Error(fmt::format("--prefix_len {} is not allowed: a checkpoint has no cached positions",
                            job.config.prefix_len));
  }
  ResultChecker::CheckHiddenSize(job.config.model);
  const JobPlan plan = PlanJob(job.config);
  std::optional<Reference> reference;
  if (HasFirstRank(job)) {
    reference.emplace(UserPath(FLAGS_checkpoint_path), plan.config);
    reference->CheckInitialValues(plan.config);
  }
  std::optional<Judge> judge;
  const int exit_code =
      RunRanks(job, plan, {.host_bytes = HostBytes(plan)}, [&](const RankEnvironment& environment) {
        Executor executor(plan, environment.backend, environment.device_world);
        Results results(plan, *environment.backend.device, executor);
        executor.RunStep();
        const bool is_first = environment.world.rank() == 0;
        if (is_first) judge.emplace(plan.config, *reference);
        results.Visit(environment.world,
                      [&](const std::string& name, std::span<const double> values) {
                        if (is_first) judge->See(name, values);
                      });
      });
  if (exit_code != 0) return exit_code;
  if (!judge) return 0;
  // It may take long, and no rank waits for it here.
  judge->RecheckMissed();
  judge->PrintSummary(NameOf(job, plan));
  return judge->pass() ? 0 : 1;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::Main(
      argc, argv,
      {.purpose =
           "Proves that a scheme computes what the reference checkpoint says: exit code 0 if "
           "every tensor is within its bound, 1 if not.",
       .example = "bazel run //correctness:check -- --scheme=seqpipe --world_size=4 --n_slices=8 "
                  "--model=test --checkpoint_path=ckpt.safetensors"},
      sluice::Run);
}
