#include "parallel/exec/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "core/base/error.h"
#include "parallel/comm/comm_error.h"
#include "parallel/comm/thread/thread_communicator.h"
#include "parallel/exec/initialize.h"

namespace sluice {
namespace {

JobPlan PlanOf(JobConfig config) {
  config.model = {.name = "tiny", .num_layers = 2, .hidden_size = 8, .seq_len = 4, .num_heads = 1};
  return PlanJob(config);
}

JobPlan GpipePlan() {
  return PlanOf(
      {.batch_size = 2, .scheme = "gpipe", .num_micro_batches = 2, .sizes = {.pipeline = 2}});
}

// Runs `run` on each rank of a job; returns the fault's message.
std::string FaultOf(const JobPlan& plan, double timeout_s,
                    const std::function<void(Executor&, Communicator&)>& run) {
  try {
    RunThreadRanks({.world_size = plan.config.sizes.world_size(), .comm = {.timeout_s = timeout_s}},
                   [&](Communicator& world) {
                     Backend backend = MakeBackend({.precision = plan.config.precision});
                     Executor executor(plan, backend, world);
                     run(executor, world);
                   });
  } catch (const std::exception& fault) {
    return fault.what();
  }
  return "no fault";
}

TEST(Executor, NamesTheOpInWhichARankFails) {
  const Observer observer = {.output =
                                 [](const Unit& unit, const Tensor&) {
                                   if (unit.micro_batch == 1) throw std::runtime_error("planted");
                                 },
                             .input_gradient = [](const Unit&, const Tensor&) {}};
  const std::string fault = FaultOf(GpipePlan(), 60, [&](Executor& executor, Communicator&) {
    executor.set_observer(&observer);
    executor.RunStep();
  });
  EXPECT_THAT(fault,
              testing::HasSubstr(
                  "rank 1: planted (at step 0, op 3 Forward(stage=1, micro_batch=1, slice=0))"));
}

TEST(Executor, NamesTheOpThatWaitsForALostRank) {
  const std::string fault = FaultOf(GpipePlan(), 60, [&](Executor& executor, Communicator& world) {
    if (world.rank() == 0) executor.RunStep();
  });
  EXPECT_THAT(fault, testing::HasSubstr("Backward(stage=0, micro_batch=1, slice=0)"));
}

// In a forward pass, no op waits for the sends.
TEST(Executor, NamesTheSendThatIsStillUnderWayAtTheEnd) {
  JobConfig config = GpipePlan().config;
  config.pass = Pass::kForward;
  const std::string fault =
      FaultOf(PlanOf(config), 60, [&](Executor& executor, Communicator& world) {
        if (world.rank() == 0) executor.RunStep();
      });
  EXPECT_THAT(fault, testing::HasSubstr("SendActivation(stage=0, micro_batch=0, slice=0)"));
}

TEST(Executor, NamesTheSumOfWeightGradients) {
  const JobPlan plan = PlanOf({.batch_size = 2, .sizes = {.data = 2}});
  const std::string fault = FaultOf(plan, 60, [&](Executor& executor, Communicator& world) {
    if (world.rank() == 0) executor.RunStep();
  });
  EXPECT_THAT(fault, testing::HasSubstr("at step 0 weight gradients of layer 0"));
}

// A forward of one rank without a loss.
JobPlan ForwardPlan(int64_t num_layers, int64_t seq_len, int64_t prefix_len) {
  JobConfig config;
  config.model = {.name = "tiny",
                  .num_layers = num_layers,
                  .hidden_size = 64,
                  .seq_len = seq_len,
                  .num_heads = 4};
  config.batch_size = 2;
  config.prefix_len = prefix_len;
  config.loss = LossKind::kNone;
  config.seed = 3;
  config.pass = Pass::kForward;
  return PlanJob(config);
}

std::vector<double> OutputOf(const JobPlan& plan, Backend& backend, Communicator& world,
                             RankWeights* weights) {
  Executor executor(plan, backend, world, DrawnValues(plan.config.seed), weights);
  std::vector<double> output;
  const Observer observer = {
      .output = [&](const Unit&,
                    const Tensor& rows) { output = ReadTensor(*backend.device, rows); },
      .input_gradient = nullptr};
  executor.set_observer(&observer);
  executor.RunStep();
  return output;
}

// Whatever weights an earlier job left, the output is that of an executor of its own.
TEST(SharedWeights, GiveTheSameOutput) {
  RunThreadRanks({.world_size = 1}, [](Communicator& world) {
    Backend backend = MakeBackend({.precision = Precision::kFloat32});
    RankWeights weights;
    for (const JobPlan& plan : {ForwardPlan(2, 9, 0), ForwardPlan(4, 5, 3), ForwardPlan(1, 7, 0),
                                ForwardPlan(4, 3, 24), ForwardPlan(6, 1, 0)}) {
      EXPECT_EQ(OutputOf(plan, backend, world, &weights),
                OutputOf(plan, backend, world, /*weights=*/nullptr))
          << plan.config.model.num_layers;
    }
    EXPECT_EQ(weights.layers, (std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
    EXPECT_EQ(weights.num_drawn, 6u);
  });
}

TEST(SharedWeights, AreAllocatedOnce) {
  RunThreadRanks({.world_size = 1}, [](Communicator& world) {
    Backend backend = MakeBackend({.precision = Precision::kFloat32});
    RankWeights weights;
    OutputOf(ForwardPlan(3, 5, 0), backend, world, &weights);
    ASSERT_EQ(weights.buffers.size(), 1u);
    const int64_t held = backend.device->allocated_bytes();
    OutputOf(ForwardPlan(2, 5, 0), backend, world, &weights);
    OutputOf(ForwardPlan(3, 5, 0), backend, world, &weights);
    EXPECT_EQ(weights.buffers.size(), 1u);
    EXPECT_EQ(backend.device->allocated_bytes(), held);
  });
}

// The layers of a job that did not fit have no values yet.
TEST(SharedWeights, SurviveAJobThatDoesNotFit) {
  RunThreadRanks({.world_size = 1}, [](Communicator& world) {
    Backend backend = MakeBackend({.precision = Precision::kFloat32});
    RankWeights weights;
    const JobPlan small = ForwardPlan(2, 4, 0);
    EXPECT_THROW(OutputOf(ForwardPlan(3, int64_t{1} << 40, 0), backend, world, &weights), Error);
    EXPECT_EQ(weights.num_drawn, 0u);
    EXPECT_EQ(OutputOf(small, backend, world, &weights),
              OutputOf(small, backend, world, /*weights=*/nullptr));
  });
}

TEST(PlanJob, RefusesAStepWithoutALoss) {
  JobConfig config = {.loss = LossKind::kNone, .pass = Pass::kStep};
  EXPECT_THROW(PlanOf(config), Error);
}

}  // namespace
}  // namespace sluice
