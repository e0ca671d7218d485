#include "bench/harness/measure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace sluice {
namespace {

using testing::AllOf;
using testing::Each;
using testing::Ge;
using testing::Gt;
using testing::Lt;
using testing::SizeIs;

Job Pipeline(Pass pass) {
  Job job = {.scheme = "seqpipe"};
  JobConfig& config = job.config;
  config.model = FindModel("test");
  config.model.num_layers = 6;
  config.model.seq_len = 24;
  config.scheme = job.scheme;
  config.pass = pass;
  config.slices = UniformSlices(config.model.seq_len, 3);
  config.sizes = {.pipeline = 3};
  return job;
}

Measurement MeasureOnThreads(const Job& job, const JobPlan& plan, const MeasureOptions& options) {
  RankStarter ranks({}, nullptr);
  return Measure(ranks, job, plan, options);
}

class MeasureTest : public testing::TestWithParam<Pass> {};

TEST_P(MeasureTest, NumbersBelongTogether) {
  const Job job = Pipeline(GetParam());
  const JobPlan plan = PlanJob(job.config);
  const Measurement m = MeasureOnThreads(job, plan, {.n_steps = 6});

  ASSERT_THAT(m.step_s, SizeIs(6));
  ASSERT_THAT(m.step_cpu_s, SizeIs(6));
  EXPECT_EQ(m.min_s, *std::min_element(m.step_s.begin(), m.step_s.end()));
  EXPECT_THAT(m.median_s, AllOf(Ge(m.min_s), testing::Le(m.max_s)));
  EXPECT_THAT(m.matmul_flops_per_s, testing::Optional(Gt(0)));
  EXPECT_THAT(m.calibration_cpu_s, AllOf(SizeIs(6), Each(Gt(0))));
  EXPECT_EQ(m.tokens, 24);

  // Two boundaries, once in a forward and there and back in a step: [24, 1, 256] float32 each.
  const int num_crossings = GetParam() == Pass::kForward ? 2 : 4;
  EXPECT_EQ(m.sent_bytes, num_crossings * 24 * 256 * 4);
  EXPECT_EQ(m.num_allocations, 0);
  EXPECT_EQ(m.allocated_bytes, PredictMemory(job, plan).total());
  EXPECT_EQ(m.predicted_bytes, m.allocated_bytes);
  EXPECT_THAT(m.rank_bytes, AllOf(Lt(m.allocated_bytes), Gt(m.allocated_bytes / 4)));
  EXPECT_THAT(m.activation_bytes, AllOf(Gt(0), Lt(m.rank_bytes)));
}

TEST_P(MeasureTest, BubblesAreSharesOfOnePass) {
  const Job job = Pipeline(GetParam());
  const Measurement m = MeasureOnThreads(job, PlanJob(job.config), {.n_steps = 2});
  EXPECT_THAT(m.empty_pass_s, testing::Optional(Gt(0)));
  ASSERT_TRUE(m.prediction.has_value());
  EXPECT_THAT(m.prediction->simulated_s, Gt(0));
  EXPECT_THAT(m.prediction->simulated_bubble_fraction, AllOf(Ge(0), Lt(1)));
  EXPECT_THAT(m.prediction->measured_bubble_fraction, AllOf(Ge(0), Lt(1)));
}

TEST(MeasureDurations, AreAtLeastThoseAskedForOnAllRanks) {
  const Job job = Pipeline(Pass::kForward);  // a pass takes milliseconds
  std::vector<std::string> parts;
  const Measurement m = MeasureOnThreads(job, PlanJob(job.config),
                                         {.n_steps = 1,
                                          .timed_s = 0.5,
                                          .num_warmup_steps = 1,
                                          .warmup_s = 0.5,
                                          .on_part = [&](auto part) { parts.emplace_back(part); }});
  EXPECT_GE(m.warmup_s, 0.5);
  EXPECT_GE(m.part_s.at("warm_up"), 0.5);
  EXPECT_GT(m.step_s.size(), 1u);
  EXPECT_THAT(m.step_cpu_s, SizeIs(m.step_s.size()));
  EXPECT_THAT(m.calibration_cpu_s, SizeIs(m.step_s.size()));
  EXPECT_THAT(parts, testing::ElementsAre("initial_values", "first_pass", "check", "warm_up",
                                          "timed_passes", "empty_passes", "ceilings"));
  for (const std::string& part : parts) EXPECT_GE(m.part_s.at(part), 0) << part;
}

TEST(MeasureDurations, AreOfAsManyPassesAsAskedForWhereThoseTakeLonger) {
  const Job job = Pipeline(Pass::kForward);
  const Measurement m =
      MeasureOnThreads(job, PlanJob(job.config), {.n_steps = 7, .timed_s = 1e-6, .warmup_s = 1e-6});
  EXPECT_THAT(m.step_s, SizeIs(7));
  EXPECT_GT(m.warmup_s, 0);
}

// In a forward the first rank is done long before the last.
TEST(MeasureCpuTime, IsOfAllRanksWheneverEachIsDone) {
  const auto least_cpu_s = [](int num_ranks) {
    Job job = Pipeline(Pass::kForward);
    job.config.model.seq_len = 256;
    job.config.slices = UniformSlices(job.config.model.seq_len, 1);
    job.config.sizes = {.pipeline = num_ranks};
    const Measurement m = MeasureOnThreads(job, PlanJob(job.config), {.n_steps = 6});
    return *std::min_element(m.step_cpu_s.begin(), m.step_cpu_s.end());
  };
  EXPECT_THAT(least_cpu_s(3), Gt(0.7 * least_cpu_s(1)));
}

INSTANTIATE_TEST_SUITE_P(Passes, MeasureTest, testing::Values(Pass::kForward, Pass::kStep));

}  // namespace
}  // namespace sluice
