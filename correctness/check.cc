// Runs one step of any scheme and compares all its results with a reference checkpoint.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <vector>

#include "core/base/error.h"
#include "core/checkpoint/reference_checkpoint.h"
#include "core/cli/flags.h"
#include "core/cli/main.h"
#include "core/cli/user_path.h"
#include "core/model/initial_values.h"
#include "correctness/results/result_checker.h"
#include "correctness/results/results.h"
#include "programs/job_flags.h"
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
    const double unit_roundoff =
        file_.Find(name)->dtype == SafetensorsDType::kF64 ? 0x1p-53 : 0x1p-24;
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
      : reference_(reference),
        checker_({.config = config, .reference_precision = reference.precision()}) {
    fmt::print("{:<40} {:>11} {:>11} {:>11} {:>11}\n", "tensor", "relative L2", "bound",
               "worst error", "bound");
  }

  void See(const std::string& name, std::span<const double> values) {
    const Comparison comparison =
        checker_.Check(name, values, reference_.Read(name, values.size()));
    const bool has_l2_bound = std::isfinite(comparison.relative_l2_bound);
    fmt::print("{:<40} {:>11.2e} {:>11} {:>11.2e} {:>11.2e}{}\n", name, comparison.relative_l2,
               has_l2_bound ? fmt::format("{:.2e}", comparison.relative_l2_bound) : "-",
               comparison.worst_error, comparison.worst_bound, comparison.pass ? "" : "  FAIL");
    ++num_tensors_;
    if (!comparison.pass) ++num_failed_;
    const double share = comparison.worst_error / comparison.worst_bound;
    const double used =
        has_l2_bound ? comparison.relative_l2 / comparison.relative_l2_bound : share;
    // Once a NaN is found nothing is nearer.
    if (nearest_.empty() || (!std::isnan(nearest_used_) && !(used <= nearest_used_))) {
      nearest_ = name;
      nearest_used_ = used;
    }
  }

  void PrintSummary(const Job& job) const {
    fmt::print(
        "{}: scheme:{}/model:{}/world_size:{}/device:{}/dtype:{}: {} of {} tensors within their "
        "bounds; nearest: {}, at {:.3g} of its bound; reference {} of commit {}\n",
        pass() ? "PASS" : "FAIL", job.scheme, job.config.model.name, job.config.sizes.world_size(),
        Name(job.device), Name(job.config.precision), num_tensors_ - num_failed_, num_tensors_,
        nearest_, nearest_used_, Name(reference_.precision()), Printable(reference_.commit()));
  }

  // ReLU's derivative jumps (correctness/tolerance/stack_bound.h).
  void PrintHint(Precision precision) const {
    if (pass() || precision == Precision::kFloat64) return;
    fmt::print(
        "In {} an input of a ReLU within rounding of 0 may take the other side, which no bound "
        "allows for: the gradients from that layer's fc1 down then miss by about 1e-3. See whether "
        "--dtype=f64, or another seed, passes.\n",
        Name(precision));
  }

  bool pass() const { return num_tensors_ > 0 && num_failed_ == 0; }

 private:
  const Reference& reference_;
  ResultChecker checker_;
  int num_tensors_ = 0, num_failed_ = 0;
  std::string nearest_;
  double nearest_used_ = 0;
};

int Run() {
  if (!WasGiven("checkpoint_path")) {
    throw Error("--checkpoint_path is missing: make the file with //correctness:save_reference");
  }
  const Job job = JobFromFlags();
  if (job.config.prefix_len > 0) {
    throw Error(fmt::format("--prefix_len {} is not allowed: a checkpoint has no cached positions",
                            job.config.prefix_len));
  }
  const JobPlan plan = PlanJob(job.config);
  std::optional<Reference> reference;
  if (HasFirstRank(job)) {
    reference.emplace(UserPath(FLAGS_checkpoint_path), plan.config);
    reference->CheckInitialValues(plan.config);
  }
  bool pass = true;
  const int exit_code = RunRanks(
      job, plan, {.host_bytes = Results::HostBytes(plan)}, [&](const RankEnvironment& environment) {
        Executor executor(plan, environment.backend, environment.world);
        Results results(plan, *environment.backend.device, executor);
        executor.RunStep();
        std::optional<Judge> judge;
        if (environment.world.rank() == 0) judge.emplace(plan.config, *reference);
        results.Visit(environment.world,
                      [&](const std::string& name, std::span<const double> values) {
                        if (judge) judge->See(name, values);
                      });
        if (!judge) return;
        judge->PrintSummary(job);
        judge->PrintHint(plan.config.precision);
        pass = judge->pass();
      });
  if (exit_code != 0) return exit_code;
  return pass ? 0 : 1;
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
