#include "parallel/exec/op_timeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "core/device/device.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::Field;

constexpr double kRounding = 1e-15;

// A stream whose work takes as long as the test says, and that holds a few timestamps.
class FakeStream : public Stream {
 public:
  void Synchronize() override {}
  bool IsIdle() override { return true; }
  std::unique_ptr<StreamGraph> Capture(std::function<void()>) override { return nullptr; }
  int64_t max_timestamps() const override { return 6; }
  std::unique_ptr<StreamTimestamps> MakeTimestamps(int64_t count) override {
    num_made += count;
    return std::make_unique<Timestamps>(*this, count);
  }

  void Work(int64_t duration_ns) { now_ns += duration_ns; }

  int64_t now_ns = 0;
  int64_t num_made = 0;
  int64_t num_recorded = 0;

 private:
  class Timestamps : public StreamTimestamps {
   public:
    Timestamps(FakeStream& stream, int64_t count)
        : stream_(stream), times_ns_(static_cast<size_t>(count)) {}
    void Record(int64_t index) override {
      times_ns_.at(static_cast<size_t>(index)) = stream_.now_ns;
      ++stream_.num_recorded;
    }
    int64_t ElapsedNs(int64_t from, int64_t to) override {
      return times_ns_.at(static_cast<size_t>(to)) - times_ns_.at(static_cast<size_t>(from));
    }

   private:
    FakeStream& stream_;
    std::vector<int64_t> times_ns_;
  };
};

// Waits for a message, then op 1 with a collective in its middle, then op 2, and a last wait.
void RunPass(FakeStream& stream, OpTimeline& timeline, int64_t scale) {
  timeline.BeginPass();
  timeline.Enter(Activity::kMessages);  // op 0 starts a receive, op 1 waits for it
  timeline.Enter(Activity::kMessages);
  stream.Work(1 * scale);
  timeline.Enter(Activity::kCompute, 1);
  stream.Work(10 * scale);
  timeline.Enter(Activity::kTensorCollectives, 1);
  stream.Work(100 * scale);
  timeline.Enter(Activity::kCompute, 1);
  stream.Work(1000 * scale);
  timeline.Enter(Activity::kCompute, 2);
  stream.Work(10000 * scale);
  timeline.EndPass();
  stream.Work(100000 * scale);
}

TEST(OpTimeline, SaysWhereTheTimeOfThePassWent) {
  FakeStream stream;
  OpTimeline timeline(stream, 3);
  RunPass(stream, timeline, 1);
  EXPECT_EQ(timeline.num_timestamps(), 6);
  timeline.Start();
  for (const int64_t scale : {1, 3}) {
    RunPass(stream, timeline, scale);
    const auto ns = [&](double count) {
      return DoubleNear(count * 1e-9 * static_cast<double>(scale), kRounding);
    };
    const PassTimes& times = timeline.Read();
    EXPECT_THAT(times.op_s, ElementsAre(ns(0), ns(1110), ns(10000)));
    EXPECT_THAT(times.activity_s, ElementsAre(ns(11010), ns(1), ns(100), ns(0)));
    const auto segment = [&](Activity activity, int op, double begin_ns, double end_ns) {
      return AllOf(Field(&TimelineSegment::activity, activity), Field(&TimelineSegment::op, op),
                   Field(&TimelineSegment::begin_s, ns(begin_ns)),
                   Field(&TimelineSegment::end_s, ns(end_ns)));
    };
    EXPECT_THAT(times.segments, ElementsAre(segment(Activity::kMessages, OpTimeline::kNoOp, 0, 1),
                                            segment(Activity::kCompute, 1, 1, 11),
                                            segment(Activity::kTensorCollectives, 1, 11, 111),
                                            segment(Activity::kCompute, 1, 111, 1111),
                                            segment(Activity::kCompute, 2, 1111, 11111)));
  }
}

TEST(OpTimeline, MakesItsTimestampsOnceAndRecordsOnlyBetweenStartAndStop) {
  FakeStream stream;
  OpTimeline timeline(stream, 3);
  RunPass(stream, timeline, 1);
  RunPass(stream, timeline, 1);
  EXPECT_EQ(stream.num_recorded, 0);
  EXPECT_EQ(stream.num_made, 0);
  for (int round = 0; round < 2; ++round) {
    timeline.Start();
    RunPass(stream, timeline, 1);
    timeline.Stop();
    RunPass(stream, timeline, 1);
  }
  EXPECT_EQ(stream.num_recorded, 2 * 6);
  EXPECT_EQ(stream.num_made, 6);
}

TEST(OpTimeline, CountsMoreTimestampsThanTheDeviceHolds) {
  FakeStream stream;
  OpTimeline timeline(stream, 100);
  timeline.BeginPass();
  for (int op = 0; op < 100; ++op) timeline.Enter(Activity::kCompute, op);
  timeline.EndPass();
  EXPECT_EQ(timeline.num_timestamps(), 101);
  EXPECT_EQ(timeline.max_timestamps(), 6);
}

TEST(OpTimeline, PlansThePassAndNotWhatRanBeforeIt) {
  FakeStream stream;
  OpTimeline timeline(stream, 3);
  timeline.Enter(Activity::kCompute, 2);
  RunPass(stream, timeline, 1);
  EXPECT_EQ(timeline.num_timestamps(), 6);
  timeline.Start();
  RunPass(stream, timeline, 1);
  EXPECT_THAT(timeline.Read().op_s[2], DoubleNear(10000e-9, kRounding));
}

// Calls of a group, each of which takes 7 ns.
class SlowGroup : public TensorParallel {
 public:
  SlowGroup(FakeStream& stream, bool splits_sequence)
      : stream_(stream), splits_sequence_(splits_sequence) {}
  ShardIndex shard() const override { return {.index = 1, .count = 2}; }
  bool splits_sequence() const override { return splits_sequence_; }
  void GatherRows(const Tensor&) override { stream_.Work(splits_sequence_ ? 7 : 0); }
  void SumPartials(const Tensor&) override { stream_.Work(7); }

 private:
  FakeStream& stream_;
  bool splits_sequence_;
};

TEST(TimedTensorParallel, TellsCollectivesFromCompute) {
  for (const bool splits_sequence : {false, true}) {
    FakeStream stream;
    OpTimeline timeline(stream, 1);
    Traffic traffic;
    TimedTensorParallel group(std::make_unique<SlowGroup>(stream, splits_sequence), timeline,
                              traffic);
    float values[6] = {};
    const Tensor tensor(values, DType::kFloat32, {2, 3});
    EXPECT_EQ(group.shard().index, 1);
    EXPECT_EQ(group.splits_sequence(), splits_sequence);
    for (int pass = 0; pass < 2; ++pass) {
      timeline.BeginPass();
      timeline.Enter(Activity::kCompute, 0);
      group.GatherRows(tensor);
      stream.Work(50);
      group.SumPartials(tensor);
      timeline.EndPass();
      if (pass == 0) timeline.Start();
    }
    EXPECT_EQ(traffic.count, splits_sequence ? 4 : 2);  // of two passes
    EXPECT_EQ(traffic.bytes, traffic.count * 24);
    const PassTimes& times = timeline.Read();
    const double collectives_ns = splits_sequence ? 14 : 7;
    EXPECT_NEAR(times.Of(Activity::kTensorCollectives), collectives_ns * 1e-9, kRounding);
    EXPECT_NEAR(times.Of(Activity::kCompute), 50e-9, kRounding);
    EXPECT_NEAR(times.op_s[0], (50 + collectives_ns) * 1e-9, kRounding);
  }
}

}  // namespace
}  // namespace sluice
