#include "correctness/parity/op_times_cases.h"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <thread>

#include "parallel/exec/op_timeline.h"

namespace sluice {
namespace {

// Longer than a pass of so small a model takes on a busy machine.
constexpr std::chrono::milliseconds kDelay(250);
constexpr double kDelayS = 0.25;
constexpr double kLeastWaitS = 0.8 * kDelayS;
constexpr double kMostElseS = 0.5 * kDelayS;

JobConfig SmallJob(const ParallelSizes& sizes) {
  JobConfig config;
  config.model = {
      .name = "op-times", .num_layers = 2, .hidden_size = 16, .seq_len = 8, .num_heads = 4};
  config.batch_size = 2;
  config.precision = Precision::kFloat64;
  config.scheme = sizes.pipeline > 1 ? "one_f_one_b" : "single";
  config.sizes = sizes;
  return config;
}

// One recorded pass, all of whose ranks begin together but rank 0, which begins `delay` later.
PassTimes RecordPass(const RankEnvironment& rank, Executor& executor,
                     std::chrono::milliseconds delay) {
  rank.world.Barrier();
  if (rank.world.rank() == 0) std::this_thread::sleep_for(delay);
  executor.RunStep();
  rank.world.Barrier();
  return executor.timeline().Read();
}

void ExpectOpsAddUp(Executor& executor, const PassTimes& times) {
  constexpr double kRoundingS = 1e-9;
  const double op_s = std::accumulate(times.op_s.begin(), times.op_s.end(), 0.0);
  const double compute_s = times.Of(Activity::kCompute);
  const double collectives_s = times.Of(Activity::kTensorCollectives);
  EXPECT_GT(op_s, 0);
  EXPECT_LE(op_s, compute_s + collectives_s + kRoundingS);
  // With the sequence split, gradients of layer norms are summed after the last op.
  const bool ends_in_sums = executor.tensor_parallel().splits_sequence();
  EXPECT_GE(op_s, compute_s + (ends_in_sums ? 0 : collectives_s) - kRoundingS);
  for (size_t i = 0; i < executor.ops().size(); ++i) {
    EXPECT_EQ(times.op_s[i] > 0, IsCompute(executor.ops()[i].kind)) << "op " << i;
  }
}

// Expects of each rank but the first that the delay is in `activity` and nowhere else, in a pass
// call by call and, where passes can be captured, in launches of a graph; and that it is gone when
// no rank is late.
void ExpectDelayIn(Activity activity, const JobConfig& config, const Machine& machine) {
  const JobPlan plan = PlanJob(config);
  RunOnMachine(machine, config, [&](const RankEnvironment& rank) {
    Executor executor(plan, rank.backend, rank.device_world);
    executor.RunStep();
    ASSERT_TRUE(executor.can_record());
    for (const bool is_graph : {false, true}) {
      if (is_graph && !executor.can_capture()) continue;
      if (is_graph) executor.Capture();
      executor.StartRecording();
      const PassTimes late = RecordPass(rank, executor, kDelay);
      ExpectOpsAddUp(executor, late);
      for (int i = 0; i < kNumActivities; ++i) {
        const double elapsed_s = late.activity_s[static_cast<size_t>(i)];
        if (rank.world.rank() > 0 && i == static_cast<int>(activity)) {
          EXPECT_GT(elapsed_s, kLeastWaitS) << "graph " << is_graph;
        } else {
          EXPECT_LT(elapsed_s, kMostElseS) << "graph " << is_graph << ", activity " << i;
        }
      }
      const PassTimes prompt = RecordPass(rank, executor, std::chrono::milliseconds(0));
      ExpectOpsAddUp(executor, prompt);
      EXPECT_LT(prompt.Of(activity), kMostElseS) << "graph " << is_graph;
      executor.StopRecording();
    }
  });
}

}  // namespace

void ExpectMessageWaitIsNotCompute(const Machine& machine) {
  ExpectDelayIn(Activity::kMessages, SmallJob({.pipeline = 2}), machine);
}

void ExpectTensorCollectivesAreTheirOwn(const Machine& machine) {
  JobConfig config = SmallJob({.tensor = 2});
  for (const PlanKind plan : {PlanKind::kMegatron, PlanKind::kMegatronSequenceParallel}) {
    config.plan = plan;
    ExpectDelayIn(Activity::kTensorCollectives, config, machine);
  }
}

void ExpectDataCollectivesAreTheirOwn(const Machine& machine) {
  ExpectDelayIn(Activity::kDataCollectives, SmallJob({.data = 2}), machine);
}

void ExpectRecordingChangesNothing(const Machine& machine) {
  JobConfig config = SmallJob({.pipeline = 2, .tensor = 2, .data = 2});
  const JobPlan plan = PlanJob(config);
  RunOnMachine(machine, config, [&](const RankEnvironment& rank) {
    Executor executor(plan, rank.backend, rank.device_world);
    executor.RunStep();
    const double loss = executor.loss();
    if (executor.can_capture()) executor.Capture();
    executor.StartRecording();
    const PassTimes recorded = RecordPass(rank, executor, std::chrono::milliseconds(0));
    EXPECT_EQ(executor.loss(), loss);
    executor.StopRecording();
    executor.RunStep();
    EXPECT_EQ(executor.loss(), loss);
    const PassTimes& after = executor.timeline().Read();
    EXPECT_EQ(after.op_s, recorded.op_s);
    EXPECT_EQ(after.activity_s, recorded.activity_s);
  });
}

}  // namespace sluice
