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
  return Measure(ranks, job, plan, PlanMemory(job, plan, NeedsOf(job, options)), options);
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
  EXPECT_EQ(m.SumOfRanks([](const RankUse& r) { return r.traffic.sends.bytes; }),
            num_crossings * 24 * 256 * 4);
  EXPECT_EQ(m.SumOfRanks([](const RankUse& r) { return r.traffic.sends.count; }),
            num_crossings * 3);
  EXPECT_EQ(m.num_allocations, 0);
  EXPECT_EQ(m.predicted_bytes, PlanMemory(job, plan, {}).Sum().total());
  EXPECT_EQ(m.SumOfRanks(&RankUse::allocated_bytes), m.predicted_bytes);
  for (const RankUse& rank : m.of_rank) {
    EXPECT_THAT(rank.allocated_bytes, AllOf(Lt(m.predicted_bytes), Gt(m.predicted_bytes / 5)));
    EXPECT_THAT(rank.bytes.activations, AllOf(Gt(0), Lt(rank.allocated_bytes)));
  }
}

TEST_P(MeasureTest, BubblesAreSharesOfOnePass) {
  const Job job = Pipeline(GetParam());
  const Measurement m = MeasureOnThreads(job, PlanJob(job.config), {.n_steps = 2});
  EXPECT_THAT(m.empty_pass_s, testing::Optional(Gt(0)));
  ASSERT_TRUE(m.op_times.has_value());
  EXPECT_THAT(m.op_times->simulated_s, Gt(0));
  EXPECT_THAT(m.op_times->simulated_bubble_fraction, AllOf(Ge(0), Lt(1)));
  EXPECT_THAT(m.op_times->measured_bubble_fraction, AllOf(Ge(0), Lt(1)));
  // All ranks' time is that of ops, of messages, and of what is between passes.
  const OpTimesSummary& times = *m.op_times;
  EXPECT_EQ(times.recorded_pass_s, m.median_s);
  EXPECT_THAT(times.exposed_communication.mean_s,
              AllOf(Gt(0), testing::Le(times.measured_bubble_fraction * m.max_s)));
  EXPECT_GE(times.exposed_communication.max_s, times.exposed_communication.mean_s);
  EXPECT_EQ(times.tensor_collectives.max_s, 0);
  EXPECT_EQ(times.data_collectives.max_s, 0);
}

TEST(MeasureOpTimes, SayHowLongCollectivesTook) {
  Job job = Pipeline(Pass::kStep);
  job.config.batch_size = 2;
  job.config.num_micro_batches = 1;
  job.config.sizes = {.tensor = 2, .data = 2};
  const Measurement m = MeasureOnThreads(job, PlanJob(job.config), {.n_steps = 2});
  ASSERT_TRUE(m.op_times.has_value());
  EXPECT_GT(m.op_times->tensor_collectives.mean_s, 0);
  EXPECT_GT(m.op_times->data_collectives.mean_s, 0);
  EXPECT_LT(m.op_times->tensor_collectives.mean_s + m.op_times->data_collectives.mean_s, m.max_s);
  EXPECT_EQ(m.op_times->exposed_communication.max_s, 0);
  // A layer's forward and backward sum the products of two linear layers each: [24, 1, 256] float32
  // of three slices. A data-parallel rank sums the gradients of its 12 parameters a layer.
  for (const RankUse& rank : m.of_rank) {
    EXPECT_EQ(rank.traffic.sends.count, 0);
    EXPECT_EQ(rank.traffic.tensor_collectives.count, 6 * 4 * 3);
    EXPECT_EQ(rank.traffic.tensor_collectives.bytes, 6 * 4 * 24 * 256 * 4);
    EXPECT_EQ(rank.traffic.data_collectives.count, 6 * 12);
  }
}

TEST(MeasureOpTimes, AreLeftOutWhereAPassTakesTooManyTimestamps) {
  const Job job = Pipeline(Pass::kForward);
  const JobPlan plan = PlanJob(job.config);
  const Measurement all = MeasureOnThreads(job, plan, {.n_steps = 1});
  ASSERT_TRUE(all.op_times.has_value());
  // The last rank waits for and computes each of three slices.
  EXPECT_GE(all.num_timestamps, 7);
  const Measurement none =
      MeasureOnThreads(job, plan, {.n_steps = 1, .max_timestamps = all.num_timestamps - 1});
  EXPECT_FALSE(none.op_times.has_value());
  EXPECT_EQ(none.num_timestamps, all.num_timestamps);
  EXPECT_EQ(none.max_timestamps, all.num_timestamps - 1);
  EXPECT_GT(none.median_s, 0);
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
