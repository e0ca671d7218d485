#include "parallel/exec/memory_plan.h"

#include <gtest/gtest.h>

#include "core/model/model_config.h"

namespace sluice {
namespace {

JobPlan PlanOf(JobConfig config) {
  config.model = {
      .name = "tiny", .num_layers = 5, .hidden_size = 24, .seq_len = 12, .num_heads = 6};
  return PlanJob(config);
}

TEST(PlanMemory, HasTheBytesOfEachRankOfEachAxis) {
  const JobPlan plan = PlanOf({.batch_size = 4,
                               .scheme = "gpipe",
                               .num_micro_batches = 2,
                               .sizes = {.pipeline = 2, .tensor = 2, .data = 2}});
  const MemoryPlan memory = PlanMemory(plan, 1000);
  int64_t sum_bytes = 0;
  for (int rank = 0; rank < 8; ++rank) {
    const RankMemory own(plan, CoordinatesOf(rank, plan.config.sizes));
    EXPECT_EQ(memory.OfRank(rank).total(), own.bytes().total() + 1000) << "rank " << rank;
    sum_bytes += own.bytes().total() + 1000;
  }
  EXPECT_EQ(memory.Sum().total(), sum_bytes);
  EXPECT_EQ(memory.Sum().kernels, 8000);
  // The first stage has three of the five layers.
  EXPECT_EQ(memory.MaxRankBytes(), memory.OfRank(0).total());
  EXPECT_GT(memory.MaxRankBytes(), memory.OfRank(7).total());
}

TEST(PlanMemory, CountsWhatIsNotAllocatedAtTheSameTimeOnce) {
  MemoryPlan memory = PlanMemory(PlanOf({}), 0);
  EXPECT_EQ(memory.MaxDeviceBytes(), memory.MaxRankBytes());
  memory.apart_bytes = 2 * memory.MaxRankBytes();
  EXPECT_EQ(memory.MaxDeviceBytes(), 2 * memory.MaxRankBytes());
}

// 512 ranks with 175 billion parameters.
TEST(PlanMemory, PlansAJobThatThisMachineCannotRun) {
  JobConfig config = {.batch_size = 64,
                      .precision = Precision::kBFloat16,
                      .scheme = "one_f_one_b",
                      .num_micro_batches = 32,
                      .sizes = {.pipeline = 32, .tensor = 8, .data = 2}};
  config.model = FindModel("gpt3-175b");
  const RankBytes sum = PlanMemory(PlanJob(config), 0).Sum();
  // There are two copies, of two bytes a parameter except for those of layer norms.
  const double weights = 2.0 * 2 * static_cast<double>(NumParameters(config.model));
  EXPECT_NEAR(static_cast<double>(sum.weights), weights, 0.01 * weights);
  EXPECT_EQ(sum.kernels, 0);
}

}  // namespace
}  // namespace sluice
