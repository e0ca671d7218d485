// A step allocates nothing once it has run: neither from the C++ heap nor from a device.

#include <gtest/gtest.h>

#include "core/backend/backend.h"
#include "core/base/allocation_counter.h"
#include "parallel/comm/thread/thread_communicator.h"
#include "parallel/exec/executor.h"

namespace sluice {
namespace {

JobConfig Job(const std::string& scheme, const ParallelSizes& sizes) {
  return {.model = {"small", 8, 32, 16, 4},
          .batch_size = 8,
          .loss = LossKind::kProjection,
          .scheme = scheme,
          .num_micro_batches = 4,
          .sizes = sizes};
}

int64_t NewsOfTheThirdStep(const JobConfig& config, bool is_recorded) {
  const JobPlan plan = PlanJob(config);
  int64_t news = -1;
  RunThreadRanks({.world_size = config.sizes.world_size()}, [&](Communicator& world) {
    Backend backend = MakeBackend({.precision = config.precision, .num_threads = 2});
    Executor executor(plan, backend, world);
    for (int step = 0; step < 2; ++step) {
      executor.RunStep();
      world.Barrier();
    }
    if (is_recorded) executor.StartRecording();
    world.Barrier();
    const int64_t device_before = backend.device->num_allocations();
    const int64_t before = NumHeapAllocations();
    world.Barrier();
    executor.RunStep();
    if (is_recorded) executor.timeline().Read();
    world.Barrier();
    if (world.rank() == 0) news = NumHeapAllocations() - before;
    EXPECT_EQ(backend.device->num_allocations(), device_before);
  });
  return news;
}

class NoAllocation : public testing::TestWithParam<bool> {};

// With and without the times of its ops.
TEST_P(NoAllocation, InAStepThatHasRunBefore) {
  const bool is_recorded = GetParam();
  EXPECT_EQ(NewsOfTheThirdStep(Job("single", {}), is_recorded), 0);
  EXPECT_EQ(NewsOfTheThirdStep(Job("one_f_one_b", {.pipeline = 4}), is_recorded), 0);
  EXPECT_EQ(NewsOfTheThirdStep(Job("zero_bubble_v", {.pipeline = 2}), is_recorded), 0);
  JobConfig config = Job("seqpipe", {.pipeline = 2, .tensor = 2, .data = 2});
  config.slices = UniformSlices(config.model.seq_len, 4);
  config.num_micro_batches = 2;
  EXPECT_EQ(NewsOfTheThirdStep(config, is_recorded), 0);
  config.plan = PlanKind::kMegatronSequenceParallel;
  EXPECT_EQ(NewsOfTheThirdStep(config, is_recorded), 0);
  config.pass = Pass::kForward;
  EXPECT_EQ(NewsOfTheThirdStep(config, is_recorded), 0);
}

INSTANTIATE_TEST_SUITE_P(Recorded, NoAllocation, testing::Bool());

}  // namespace
}  // namespace sluice
