#include "bench/harness/job_times.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "bench/harness/empty_kernels.h"
#include "core/backend/backend.h"
#include "core/base/median.h"
#include "core/model/model_config.h"
#include "parallel/comm/thread/thread_communicator.h"
#include "parallel/exec/executor.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::DoubleNear;
using testing::Ge;
using testing::Le;

constexpr double kRounding = 1e-6;

// Two stages, forward alone.
JobConfig TwoStages(int num_micro_batches) {
  JobConfig config;
  config.model = {.name = "two", .num_layers = 2, .hidden_size = 8, .seq_len = 4, .num_heads = 2};
  config.batch_size = num_micro_batches;
  config.scheme = "gpipe";
  config.pass = Pass::kForward;
  config.num_micro_batches = num_micro_batches;
  config.sizes = {.pipeline = 2};
  return config;
}

// A pass that waits for `messages_s`, then runs its compute ops for `op_s` each.
PassTimes PassOf(const std::vector<Op>& ops, double op_s, double messages_s) {
  PassTimes times;
  times.op_s.resize(ops.size());
  times.segments = {{Activity::kMessages, TimelineSegment::kNoOp, 0, messages_s}};
  for (size_t i = 0; i < ops.size(); ++i) {
    if (!IsCompute(ops[i].kind)) continue;
    const double begin_s = times.segments.back().end_s;
    times.segments.push_back({Activity::kCompute, static_cast<int>(i), begin_s, begin_s + op_s});
  }
  return times;
}

// Rank 0 takes 3 s a unit, rank 1 takes 5: units end there at 8 and 13.
TEST(Summarize, IsOfTheMedianPassAndOfAllRanks) {
  const JobPlan plan = PlanJob(TwoStages(2));
  RunThreadRanks({.world_size = 2}, [&](Communicator& world) {
    const std::vector<Op>& ops = plan.schedule.ops_of_rank[static_cast<size_t>(world.rank())];
    const bool is_first = world.rank() == 0;
    OpTimes op_times(ops.size());
    for (const double scale : {1.0, 3.0, 0.5}) {
      op_times.Add(PassOf(ops, scale * (is_first ? 3 : 5), scale * (is_first ? 1 : 4)));
    }
    const std::optional<JobTimes> times = GatherTimes(plan, world, op_times, {16, 40, 10});
    ASSERT_EQ(times.has_value(), is_first);
    if (!times) return;
    const OpTimesSummary summary = Summarize(plan, *times);
    EXPECT_NEAR(summary.simulated_s, 13, kRounding);
    EXPECT_NEAR(summary.simulated_bubble_fraction, 1 - 16.0 / 26, kRounding);
    EXPECT_NEAR(summary.simulated_wait.max_s, 3, kRounding);
    EXPECT_NEAR(summary.simulated_wait.mean_s, 1.5, kRounding);
    EXPECT_NEAR(summary.measured_bubble_fraction, 1 - 16.0 / 32, kRounding);
    EXPECT_NEAR(summary.exposed_communication.max_s, 4, kRounding);
    EXPECT_NEAR(summary.exposed_communication.mean_s, 2.5, kRounding);
    EXPECT_EQ(summary.tensor_collectives.max_s, 0);
    EXPECT_EQ(summary.data_collectives.mean_s, 0);
    EXPECT_NEAR(summary.exposed_fraction, 4.0 / 16, kRounding);
    EXPECT_NEAR(summary.recorded_pass_s, 16, kRounding);
  });
}

// Rank 0 gets the segments of both ranks, from the middle one of three passes.
TEST(RecordStep, HasTheSegmentsOfThePassNearestToTheMedian) {
  const JobPlan plan = PlanJob(TwoStages(1));
  RunThreadRanks({.world_size = 2}, [&](Communicator& world) {
    const size_t num_ops = plan.schedule.ops_of_rank[static_cast<size_t>(world.rank())].size();
    OpTimes op_times(num_ops);
    for (const double scale : {1.0, 30.0, 2.0}) {
      PassTimes times = {.op_s = std::vector<double>(num_ops, scale), .segments = {}};
      times.segments = {{Activity::kMessages, TimelineSegment::kNoOp, 0, scale},
                        {Activity::kCompute, world.rank(), scale, 3 * scale}};
      op_times.Add(times);
    }
    const std::optional<JobTimes> job_times = GatherTimes(plan, world, op_times, {3, 90, 6});
    if (!job_times) return;
    const StepRecord record = RecordStep(plan, *job_times);
    EXPECT_EQ(record.pass_s, 6);
    ASSERT_EQ(record.segments.size(), 2u);
    for (int rank = 0; rank < 2; ++rank) {
      const std::vector<TimelineSegment>& segments = record.segments[static_cast<size_t>(rank)];
      ASSERT_EQ(segments.size(), 2u);
      EXPECT_EQ(segments[0].activity, Activity::kMessages);
      EXPECT_EQ(segments[0].op, TimelineSegment::kNoOp);
      EXPECT_EQ(segments[1].op, rank);
      EXPECT_NEAR(segments[1].begin_s, 2, kRounding);
      EXPECT_NEAR(segments[1].end_s, 6, kRounding);
    }
  });
}

// Kernels whose layers take a time of their own.
class SlowKernels : public EmptyKernels {
 public:
  explicit SlowKernels(std::chrono::milliseconds layer) : layer_(layer) {}
  void CausalAttentionForward(const CausalAttentionForwardArgs&) override {
    std::this_thread::sleep_for(layer_);
  }

 private:
  std::chrono::milliseconds layer_;
};

// Four units of 20 ms on each of two ranks: 100 ms, of which each rank is idle for 20.
TEST(Summarize, AgreesWithAPassOfKnownCost) {
  constexpr double kUnitS = 0.02;
  constexpr int kNumUnits = 4;
  const JobPlan plan = PlanJob(TwoStages(kNumUnits));
  RunThreadRanks({.world_size = 2}, [&](Communicator& world) {
    Backend backend = MakeBackend({});
    Executor executor(plan, backend, world);
    executor.ExchangeKernels(std::make_unique<SlowKernels>(std::chrono::milliseconds(20)));
    executor.RunStep();
    executor.StartRecording();
    OpTimes op_times(executor.ops().size());
    std::vector<double> pass_s;
    for (int pass = 0; pass < 5; ++pass) {
      world.Barrier();
      const auto begin = std::chrono::steady_clock::now();
      executor.RunStep();
      pass_s.push_back(
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
      op_times.Add(executor.timeline().Read());
    }
    world.AllReduce({pass_s.data(), std::ssize(pass_s), DType::kFloat64}, ReduceOp::kMax);
    const std::optional<JobTimes> times = GatherTimes(plan, world, op_times, pass_s);
    if (!times) return;
    const OpTimesSummary summary = Summarize(plan, *times);
    // Sleeping takes longer than was asked for, never less.
    const double least_s = (kNumUnits + 1) * kUnitS;
    EXPECT_THAT(summary.simulated_s, AllOf(Ge(least_s), Le(1.25 * least_s)));
    EXPECT_THAT(Median(pass_s) / summary.simulated_s, AllOf(Ge(0.95), Le(1.25)));
    EXPECT_THAT(summary.simulated_bubble_fraction, DoubleNear(0.2, 0.05));
    EXPECT_THAT(summary.simulated_wait.max_s, DoubleNear(kUnitS, 0.5 * kUnitS));
    EXPECT_THAT(summary.measured_bubble_fraction, DoubleNear(0.2, 0.1));
    EXPECT_THAT(summary.exposed_communication.max_s, AllOf(Ge(0.9 * kUnitS), Le(2 * kUnitS)));
    EXPECT_LE(summary.exposed_communication.mean_s, summary.exposed_communication.max_s);
  });
}

}  // namespace
}  // namespace sluice
