#include "bench/harness/op_times.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;

constexpr double kRounding = 1e-9;
constexpr int kNoOp = TimelineSegment::kNoOp;

// A wait for a message, op 0, op 1 with a collective in it, and a sum of gradients.
PassTimes PassOf(double scale) {
  PassTimes times;
  times.op_s.resize(2);
  times.segments = {{Activity::kMessages, kNoOp, 0, scale},
                    {Activity::kCompute, 0, scale, 3 * scale},
                    {Activity::kCompute, 1, 3 * scale, 6 * scale},
                    {Activity::kTensorCollectives, 1, 6 * scale, 10 * scale},
                    {Activity::kDataCollectives, kNoOp, 10 * scale, 15 * scale}};
  return times;
}

TEST(OpTimes, HasEachOpOfEachPassAndItsMedian) {
  OpTimes op_times(2);
  for (const double scale : {5.0, 1.0, 2.0}) op_times.Add(PassOf(scale));
  EXPECT_THAT(op_times.MediansS(),
              ElementsAre(DoubleNear(4, kRounding), DoubleNear(14, kRounding)));
  EXPECT_THAT(op_times.OpsOf(1), ElementsAre(OpSample{1'000'000'000, 2'000'000'000},
                                             OpSample{3'000'000'000, 7'000'000'000}));
  const PassSums& sums = op_times.SumsOf(2);
  EXPECT_EQ(sums.busy_ns, 18'000'000'000);
  EXPECT_EQ(sums.Of(Activity::kMessages), 2'000'000'000);
  EXPECT_EQ(sums.Of(Activity::kTensorCollectives), 8'000'000'000);
  EXPECT_EQ(sums.Of(Activity::kDataCollectives), 10'000'000'000);
}

TEST(OpTimes, AreTheSameBehindAMessage) {
  OpTimes op_times(2);
  for (const double scale : {5.0, 1.0}) op_times.Add(PassOf(scale));
  const OpTimes copy = OpTimes::FromNumbers(op_times.ToNumbers());
  EXPECT_EQ(copy.ToNumbers(), op_times.ToNumbers());
  EXPECT_EQ(copy.num_passes(), 2u);
  EXPECT_EQ(copy.OpsOf(0), op_times.OpsOf(0));
  EXPECT_EQ(copy.SumsOf(1).busy_ns, op_times.SumsOf(1).busy_ns);
  EXPECT_EQ(copy.SegmentsOf(1)[3].activity, Activity::kTensorCollectives);
  EXPECT_NEAR(copy.SegmentsOf(1)[3].begin_s, 6, kRounding);
}

TEST(OpTimes, KeepsFewPassesOfManyOpsAndTheSumsOfAll) {
  constexpr size_t kNumOps = 400'000;
  OpTimes op_times(kNumOps);
  PassTimes times;
  times.op_s.resize(kNumOps);
  times.segments.resize(kNumOps);
  for (size_t i = 0; i < kNumOps; ++i) times.segments[i].op = static_cast<int>(i);
  for (const double op_s : {1.0, 3.0, 100.0, 100.0, 100.0}) {
    times.segments.back().end_s = op_s;
    op_times.Add(times);
  }
  EXPECT_EQ(op_times.num_passes(), 5u);
  EXPECT_EQ(op_times.num_kept_passes(), 2u);
  EXPECT_NEAR(op_times.MediansS().back(), 2, kRounding);
  EXPECT_EQ(op_times.SumsOf(4).busy_ns, 100'000'000'000);
}

}  // namespace
}  // namespace sluice
