#include "bench/timeline/timed_step.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "bench/timeline/example_step.h"
#include "parallel/schedule/activation_usage.h"

namespace sluice {
namespace {

TEST(ActivationCurve, HasThePeakOfTheSchedule) {
  for (const char* scheme : {"gpipe", "one_f_one_b", "zero_bubble_h1"}) {
    const TimedStep step = ExampleStep(scheme, {.num_ranks = 4, .num_micro_batches = 8});
    for (int rank = 0; rank < 4; ++rank) {
      for (const StepTimeline* timeline : {&step.predicted, &*step.measured}) {
        const std::vector<ActivationPoint> curve = ActivationCurve(step, *timeline, rank);
        int64_t peak_bytes = 0;
        for (const ActivationPoint& point : curve) peak_bytes = std::max(peak_bytes, point.bytes);
        EXPECT_EQ(peak_bytes, PeakActivationBytes(step.schedule, rank, step.activation_bytes));
        EXPECT_EQ(curve.back().bytes, 0);
        EXPECT_TRUE(std::ranges::is_sorted(curve, {}, &ActivationPoint::time_s));
      }
    }
  }
}

// A collective interrupts an op: compute, collective, compute.
TEST(MeasuredTimeline, AnOpIsOneSpanWithItsCollectives) {
  const Schedule schedule = {.num_stages = 1,
                             .num_ranks = 1,
                             .num_micro_batches = 1,
                             .num_slices = 1,
                             .pass = Pass::kForward,
                             .rank_of_stage = {0},
                             .ops_of_rank = {{{OpKind::kForward, {}}}}};
  const StepTimeline timeline =
      MeasuredTimeline(schedule, 9,
                       {{{Activity::kMessages, TimelineSegment::kNoOp, 0, 1},
                         {Activity::kCompute, 0, 1, 2},
                         {Activity::kTensorCollectives, 0, 2, 4},
                         {Activity::kCompute, 0, 4, 9}}});
  EXPECT_EQ(timeline.op_times[0][0].start_s, 1);
  EXPECT_EQ(timeline.op_times[0][0].end_s, 9);
  EXPECT_EQ(timeline.duration_s, 9);
}

}  // namespace
}  // namespace sluice
