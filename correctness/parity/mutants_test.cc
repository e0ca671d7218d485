// Tests of the parity tests: each fault that a parallel scheme can have must fail the same
// comparison that the right run passes, in float64 and in float32.

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <utility>

#include "core/base/check.h"
#include "correctness/parity/faulty_communicator.h"
#include "correctness/parity/machines.h"
#include "correctness/parity/parity_run.h"
#include "parallel/exec/initialize.h"

namespace sluice {
namespace {

// Rows of a slice, heads and features divide by 2.
JobConfig SmallJob() {
  return {.model = {"small", 6, 24, 12, 2},
          .batch_size = 4,
          .loss = LossKind::kProjection,
          .seed = 5,
          .scheme = "seqpipe",
          .slices = UniformSlices(12, 3),
          .num_micro_batches = 2,
          .sizes = {.pipeline = 3}};
}

JobConfig TensorParallelJob(PlanKind plan) {
  JobConfig config = SmallJob();
  config.sizes = {.pipeline = 2, .tensor = 2};
  config.plan = plan;
  return config;
}

// The results of a tampered run that the comparison rejects.
std::vector<std::string> Rejected(const JobConfig& config, const Tampering& tampering) {
  std::vector<std::string> names;
  for (const Comparison& comparison : CompareResults(
           config, RunAsThreads(config, CpuMachine(), tampering), ReferenceResults(config))) {
    if (!comparison.pass) names.push_back(comparison.name);
  }
  return names;
}

// Runs the job in both precisions, right and tampered with; `names` must be among what is rejected.
void ExpectCaught(JobConfig config, const Tampering& tampering,
                  const std::vector<std::string>& names) {
  for (const Precision precision : {Precision::kFloat64, Precision::kFloat32}) {
    SCOPED_TRACE(Name(precision));
    config.precision = precision;
    EXPECT_EQ(Rejected(config, {}), std::vector<std::string>());
    const std::vector<std::string> rejected = Rejected(config, tampering);
    for (const std::string& name : names) {
      EXPECT_EQ(std::count(rejected.begin(), rejected.end(), name), 1) << name;
    }
  }
}

TEST(Mutant, ThatDropsALayerIsCaught) {
  for (const size_t stage : {0, 2}) {
    ExpectCaught(SmallJob(),
                 {.plan = [stage](JobPlan& plan) { plan.layers_of_stage[stage].num_layers -= 1; }},
                 {"output", "loss", "grad.input", "grad.layers.1.fc1.weight"});
  }
}

// Exchanges what two units hold of one tensor, on the rank where they are.
void Swap(Executor& executor, Device& device, std::pair<Unit, Unit> units,
          Tensor (RankMemory::*tensor_of)(const Unit&) const) {
  for (const Op& op : executor.ops()) {
    if (op.kind != OpKind::kForward || op.unit != units.first) continue;
    const Tensor a = (executor.memory().*tensor_of)(units.first);
    const Tensor b = (executor.memory().*tensor_of)(units.second);
    const std::vector<double> values = ReadTensor(device, a);
    WriteTensor(device, a, ReadTensor(device, b));
    WriteTensor(device, b, values);
  }
}

TEST(Mutant, ThatSwapsTwoSlicesOrMicroBatchesOfTheInputIsCaught) {
  for (const Unit& other : {Unit{0, 0, 2}, Unit{0, 1, 1}}) {
    ExpectCaught(SmallJob(),
                 {.before =
                      [other](Executor& executor, Device& device) {
                        Swap(executor, device, {{0, 0, 1}, other}, &RankMemory::Input);
                      }},
                 {"output", "grad.input", "grad.layers.0.attn.in_proj.weight"});
  }
}

TEST(Mutant, ThatSwapsTwoSlicesOrMicroBatchesOfTheGradientIsCaught) {
  for (const Unit& other : {Unit{2, 0, 2}, Unit{2, 1, 1}}) {
    ExpectCaught(SmallJob(),
                 {.before =
                      [other](Executor& executor, Device& device) {
                        Swap(executor, device, {{2, 0, 1}, other}, &RankMemory::Projection);
                      }},
                 {"grad.input", "grad.layers.0.attn.in_proj.weight", "grad.layers.5.fc2.weight"});
  }
}

// The values of one gradient are changed after the step, on the ranks that hold it.
template <typename Change>
void ExpectChangedGradientIsCaught(const Change& change) {
  const std::vector<ParameterSpec> parameters = LayerParameters(SmallJob().model);
  for (size_t i = 0; i < parameters.size(); ++i) {
    ExpectCaught(SmallJob(),
                 {.after =
                      [&, i](Executor& executor, Device& device) {
                        if (executor.memory().layers().front() != 2) return;
                        const Tensor gradient = executor.memory().WeightGradients(2)[i];
                        std::vector<double> values = ReadTensor(device, gradient);
                        change(values);
                        WriteTensor(device, gradient, values);
                      }},
                 {"grad." + ParameterName(2, parameters[i].name)});
  }
}

TEST(Mutant, ThatScalesAGradientBy1001ThousandthsIsCaught) {
  ExpectChangedGradientIsCaught([](std::vector<double>& values) {
    for (double& value : values) value *= 1.001;
  });
}

TEST(Mutant, ThatHasANanInAGradientIsCaught) {
  ExpectChangedGradientIsCaught([](std::vector<double>& values) {
    values[values.size() / 2] = std::numeric_limits<double>::quiet_NaN();
  });
}

// One call goes wrong in the step that counts; the step before leaves other, finite values.
void ExpectFaultyCallIsCaught(const JobConfig& config, const FaultyCall& call,
                              const std::vector<std::string>& names) {
  for (const Precision precision : {Precision::kFloat64, Precision::kFloat32}) {
    // One a rank: ranks come to the step at different times.
    std::deque<std::atomic<bool>> is_armed(static_cast<size_t>(config.sizes.world_size()));
    JobConfig with_precision = config;
    with_precision.precision = precision;
    const Tampering tampering = {
        .wrap =
            [&](Communicator& world) {
              return MakeFaulty(world, call, is_armed[static_cast<size_t>(world.rank())]);
            },
        .before = [&](Executor&, Device&) { is_armed[static_cast<size_t>(CurrentRank())] = true; },
        .first_input_factor = -0.5,
    };
    SCOPED_TRACE(Name(precision));
    EXPECT_EQ(Rejected(with_precision, {}), std::vector<std::string>());
    const std::vector<std::string> rejected = Rejected(with_precision, tampering);
    for (const std::string& name : names) {
      EXPECT_EQ(std::count(rejected.begin(), rejected.end(), name), 1) << name;
    }
  }
}

TEST(Mutant, ThatSkipsAnAllReduceOfMegatronIsCaught) {
  const JobConfig config = TensorParallelJob(PlanKind::kMegatron);
  // 3 layers a rank, 2 micro-batches, 3 slices: the first 36 are of the forward.
  for (const int64_t index : {0, 17, 36, 71}) {
    ExpectFaultyCallIsCaught(
        config, {CommFault::kSkippedAllReduce, FaultyGroup::kTensor, index},
        {index < 36 ? "output" : "grad.input", "grad.layers.0.attn.in_proj.weight"});
  }
}

TEST(Mutant, ThatSkipsACollectiveOfSequenceParallelismIsCaught) {
  const JobConfig config = TensorParallelJob(PlanKind::kMegatronSequenceParallel);
  for (const CommFault fault : {CommFault::kSkippedAllGather, CommFault::kSkippedReduceScatter}) {
    ExpectFaultyCallIsCaught(config, {fault, FaultyGroup::kTensor, 3}, {"output", "grad.input"});
  }
  // Of the gradients of the first layer norm of a rank.
  ExpectFaultyCallIsCaught(config, {CommFault::kSkippedAllReduce, FaultyGroup::kTensor, 0},
                           {"grad.layers.0.attn_ln.weight", "grad.layers.3.attn_ln.weight"});
}

TEST(Mutant, ThatSkipsTheAllReduceOfAGradientIsCaught) {
  JobConfig config = SmallJob();
  config.sizes = {.pipeline = 2, .data = 2};
  const std::vector<ParameterSpec> parameters = LayerParameters(config.model);
  for (size_t i = 0; i < parameters.size(); ++i) {
    ExpectFaultyCallIsCaught(
        config, {CommFault::kSkippedAllReduce, FaultyGroup::kData, static_cast<int64_t>(i)},
        {"grad." + ParameterName(0, parameters[i].name),
         "grad." + ParameterName(3, parameters[i].name)});
  }
}

TEST(Mutant, ThatUsesAStaleBufferIsCaught) {
  // Of 6 activations that each rank but the first receives, and 6 gradients.
  for (const int64_t index : {0, 4}) {
    ExpectFaultyCallIsCaught(SmallJob(), {CommFault::kStaleReceive, FaultyGroup::kPipeline, index},
                             {"output", "grad.input"});
  }
  for (const int64_t index : {6, 11}) {
    ExpectFaultyCallIsCaught(SmallJob(), {CommFault::kStaleReceive, FaultyGroup::kPipeline, index},
                             {"grad.layers.1.fc1.weight"});
  }
}

// Changes the gradients of the weights on some ranks, after a right step.
template <typename IsChanged, typename Change>
Tampering WithChangedGradients(const IsChanged& is_changed, const Change& change) {
  return {.after = [=](Executor& executor, Device& device) {
    const std::vector<ParameterSpec> parameters = LayerParameters(SmallJob().model);
    for (const int64_t layer : executor.memory().layers()) {
      for (size_t i = 0; i < parameters.size(); ++i) {
        if (!is_changed(executor.rank(), parameters[i])) continue;
        const Tensor gradient = executor.memory().WeightGradients(layer)[i];
        std::vector<double> values = ReadTensor(device, gradient);
        change(values);
        WriteTensor(device, gradient, values);
      }
    }
  }};
}

const auto kZero = [](std::vector<double>& values) {
  std::fill(values.begin(), values.end(), 0.0);
};

std::vector<std::string> GradientNames(bool only_replicated) {
  std::vector<std::string> names;
  for (const ParameterSpec& parameter : LayerParameters(SmallJob().model)) {
    if (only_replicated && parameter.shard_axis != ShardAxis::kReplicated) continue;
    for (const int64_t layer : {0, 5})
      names.push_back("grad." + ParameterName(layer, parameter.name));
  }
  return names;
}

// Only the first of the data-parallel copies has the right gradients.
TEST(Mutant, ThatLosesTheGradientsOfADataParallelCopyIsCaught) {
  JobConfig config = SmallJob();
  config.sizes = {.pipeline = 2, .data = 2};
  const auto is_changed = [](const RankCoordinates& rank, const ParameterSpec&) {
    return rank.data == 1;
  };
  const Tampering tampering = WithChangedGradients(is_changed, kZero);
  ExpectCaught(config, tampering, GradientNames(/*only_replicated=*/false));
  for (const Comparison& comparison : CompareResults(
           config, RunAsThreads(config, CpuMachine(), tampering), ReferenceResults(config))) {
    // Ranks 0 and 1 are the pipeline of the first copy.
    if (comparison.name == "grad.layers.0.fc1.weight") {
      EXPECT_EQ(comparison.note.find("rank 2 holds another copy"), 0u) << comparison.note;
    }
  }
}

TEST(Mutant, ThatHasAStaleElementInADataParallelCopyIsCaught) {
  JobConfig config = SmallJob();
  config.sizes = {.data = 2};
  config.scheme = "single";
  config.slices.clear();
  const auto is_changed = [](const RankCoordinates& rank, const ParameterSpec&) {
    return rank.data == 1;
  };
  ExpectCaught(config,
               WithChangedGradients(is_changed,
                                    [](std::vector<double>& values) { values.back() *= 1 + 1e-6; }),
               GradientNames(/*only_replicated=*/false));
}

TEST(Mutant, ThatLosesTheCopiesOfATensorParallelRankIsCaught) {
  for (const PlanKind plan : {PlanKind::kMegatron, PlanKind::kMegatronSequenceParallel}) {
    const auto is_changed = [](const RankCoordinates& rank, const ParameterSpec& parameter) {
      return rank.tensor == 1 && parameter.shard_axis == ShardAxis::kReplicated;
    };
    ExpectCaught(TensorParallelJob(plan), WithChangedGradients(is_changed, kZero),
                 GradientNames(/*only_replicated=*/true));
  }
}

TEST(Mutant, ThatHasAnotherLossOnATensorParallelRankIsCaught) {
  ExpectCaught(TensorParallelJob(PlanKind::kMegatron),
               {.after =
                    [](Executor& executor, Device& device) {
                      if (executor.rank().tensor == 1) {
                        WriteTensor(device, executor.memory().Loss(), {1.0});
                      }
                    }},
               {"loss"});
}

}  // namespace
}  // namespace sluice
