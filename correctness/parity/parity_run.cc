#include "correctness/parity/parity_run.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/base/check.h"
#include "correctness/results/flipped_reference.h"
#include "correctness/results/result_checker.h"
#include "correctness/results/results.h"
#include "correctness/results/run_problem.h"
#include "parallel/comm/thread/thread_communicator.h"
#include "parallel/exec/initialize.h"

namespace sluice {
namespace {

constexpr double kTimeoutS = 60;

// The model's input on this rank, multiplied for as long as this lives.
class ScaledInput {
 public:
  ScaledInput(const JobPlan& plan, Executor& executor, Device& device, double factor)
      : executor_(executor), device_(device) {
    for (const Op& op : executor.ops()) {
      if (op.kind != OpKind::kForward || op.unit.stage != 0) continue;
      const Tensor input = executor.memory().Input(op.unit);
      saved_.push_back({op.unit, ReadTensor(device, input)});
      std::vector<double> scaled = saved_.back().values;
      for (double& value : scaled) value *= factor;
      WriteTensor(device, input, scaled);
    }
    SLUICE_CHECK_EQ(saved_.empty(), plan.schedule.rank_of_stage[0] != executor.rank().pipeline);
  }
  ~ScaledInput() {
    for (const Saved& saved : saved_) {
      WriteTensor(device_, executor_.memory().Input(saved.unit), saved.values);
    }
  }
  ScaledInput(const ScaledInput&) = delete;
  ScaledInput& operator=(const ScaledInput&) = delete;

 private:
  struct Saved {
    Unit unit;
    std::vector<double> values;
  };
  Executor& executor_;
  Device& device_;
  std::vector<Saved> saved_;
};

}  // namespace

std::vector<ResultTensor> ReferenceResults(const JobConfig& config) {
  const reference::Step step = ForwardBackward(ProblemOf(config));
  std::vector<ResultTensor> results = {{"output", step.output}, {"loss", {step.loss}}};
  if (config.pass == Pass::kForward) return results;
  for (int64_t layer = config.model.num_layers - 1; layer >= 0; --layer) {
    for (const ParameterSpec& parameter : LayerParameters(config.model)) {
      results.push_back({"grad." + ParameterName(layer, parameter.name),
                         step.gradients[static_cast<size_t>(layer)].at(parameter.name)});
    }
  }
  results.push_back({"grad.input", step.input_gradient});
  return results;
}

void RunOnMachine(const Machine& machine, const JobConfig& config,
                  const std::function<void(const RankEnvironment&)>& run) {
  RunThreadRanks({.world_size = config.sizes.world_size(), .comm = {.timeout_s = kTimeoutS}},
                 [&](Communicator& world) {
                   Backend backend = machine.make_backend(world.rank(), config.precision);
                   if (!machine.connect) return run({world, world, backend});
                   const std::unique_ptr<Communicator> comm = machine.connect(world, backend);
                   run({world, *comm, backend});
                 });
}

std::vector<ResultTensor> RunOnRank(const JobPlan& plan, const RankEnvironment& rank,
                                    const Tampering& tampering) {
  Device& device = *rank.backend.device;
  const std::unique_ptr<Communicator> wrapped =
      tampering.wrap ? tampering.wrap(rank.device_world) : nullptr;
  Executor executor(plan, rank.backend, wrapped ? *wrapped : rank.device_world);
  Results whole(plan, device, executor);
  {
    const ScaledInput scaled(plan, executor, device, tampering.first_input_factor);
    executor.RunStep();
  }
  if (tampering.before) tampering.before(executor, device);
  executor.RunStep();
  if (tampering.after) tampering.after(executor, device);
  std::vector<ResultTensor> results;
  whole.Visit(rank.world, [&](const Result& result) {
    if (rank.world.rank() != 0) return;
    results.push_back(
        {result.name, {result.values.begin(), result.values.end()}, result.different_copy});
  });
  return results;
}

std::vector<ResultTensor> RunAsThreads(const JobConfig& config, const Machine& machine,
                                       const Tampering& tampering) {
  JobPlan plan = PlanJob(config);
  if (tampering.plan) tampering.plan(plan);
  std::vector<ResultTensor> results;
  RunOnMachine(machine, config, [&](const RankEnvironment& rank) {
    std::vector<ResultTensor> of_rank = RunOnRank(plan, rank, tampering);
    if (rank.world.rank() == 0) results = std::move(of_rank);
  });
  return results;
}

namespace {

std::vector<std::vector<double>> WeightGradients(Executor& executor, Device& device) {
  std::vector<std::vector<double>> values;
  for (const int64_t layer : executor.memory().layers()) {
    for (const Tensor& gradient : executor.memory().WeightGradients(layer)) {
      values.push_back(ReadTensor(device, gradient));
    }
  }
  return values;
}

void SpoilWeightGradients(Executor& executor, Device& device) {
  for (const int64_t layer : executor.memory().layers()) {
    for (const Tensor& gradient : executor.memory().WeightGradients(layer)) {
      WriteTensor(device, gradient,
                  std::vector<double>(static_cast<size_t>(gradient.num_elements()), 1e6));
    }
  }
}

}  // namespace

std::string FindReplayDifference(const JobPlan& plan, const RankEnvironment& rank,
                                 int num_replays) {
  Device& device = *rank.backend.device;
  Executor executor(plan, rank.backend, rank.device_world);
  executor.RunStep();
  const double loss = executor.loss();
  const std::vector<std::vector<double>> eager = WeightGradients(executor, device);
  SLUICE_CHECK(executor.can_capture());
  executor.Capture();
  std::string difference;
  for (int i = 0; i < num_replays; ++i) {
    SpoilWeightGradients(executor, device);
    rank.world.Barrier();
    executor.RunStep();
    // All ranks replay alike, whatever one has found.
    const double replayed_loss = executor.loss();
    const bool has_gradients = WeightGradients(executor, device) == eager;
    if (!difference.empty() || (replayed_loss == loss && has_gradients)) continue;
    difference =
        fmt::format("replay {} on rank {}: loss {}, eager {}; weight gradients {}", i,
                    rank.world.rank(), replayed_loss, loss, has_gradients ? "equal" : "differ");
  }
  return difference;
}

void ExpectGraphRepeatsStep(const JobConfig& config, const Machine& machine) {
  constexpr int kNumReplays = 5;
  const JobPlan plan = PlanJob(config);
  RunOnMachine(machine, config, [&](const RankEnvironment& rank) {
    EXPECT_EQ(FindReplayDifference(plan, rank, kNumReplays), "");
  });
}

std::vector<Comparison> CompareResults(const JobConfig& config,
                                       const std::vector<ResultTensor>& actual,
                                       const std::vector<ResultTensor>& expected) {
  SLUICE_CHECK_EQ(actual.size(), expected.size());
  ResultChecker checker({.config = config, .reference_precision = Precision::kFloat64});
  std::vector<Comparison> comparisons;
  for (size_t i = 0; i < expected.size(); ++i) {
    SLUICE_CHECK_EQ(actual[i].name, expected[i].name);
    comparisons.push_back(checker.Check(expected[i].name, actual[i].values, expected[i].values));
  }
  const auto find_copies = [&] {
    for (size_t i = 0; i < actual.size(); ++i) {
      if (!actual[i].different_copy) continue;
      comparisons[i].pass = false;
      comparisons[i].note = Describe(*actual[i].different_copy);
    }
    return comparisons;
  };
  const auto has_missed = [](const Comparison& comparison) {
    return !comparison.pass && comparison.name.starts_with("grad.");
  };
  if (config.precision != Precision::kFloat32 ||
      std::none_of(comparisons.begin(), comparisons.end(), has_missed)) {
    return find_copies();
  }
  FlippedReference flipped(config);
  std::map<std::string, std::vector<double>> fc1_biases;
  for (const ResultTensor& tensor : actual) {
    if (tensor.name.ends_with("fc1.bias")) fc1_biases[tensor.name] = tensor.values;
  }
  flipped.Resolve(fc1_biases);
  for (size_t i = 0; i < comparisons.size(); ++i) {
    if (!has_missed(comparisons[i])) continue;
    comparisons[i] = checker.Check(actual[i].name, actual[i].values,
                                   flipped.Apply(expected[i].name, expected[i].values));
  }
  return find_copies();
}

}  // namespace sluice
