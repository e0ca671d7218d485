#include "parallel/exec/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "core/base/error.h"
#include "parallel/comm/comm_error.h"
#include "parallel/comm/thread/thread_communicator.h"

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

// Of a forward pass nobody waits for the sends before its end.
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

}  // namespace
}  // namespace sluice
