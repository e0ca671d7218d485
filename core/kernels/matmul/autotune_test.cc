#include "core/kernels/matmul/autotune.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace sluice {
namespace {

// A stream whose work takes as long as the test says.
class FakeStream : public Stream {
 public:
  void Synchronize() override {}
  bool IsIdle() override { return true; }
  std::unique_ptr<StreamGraph> Capture(std::function<void()>) override { return nullptr; }
  int64_t max_timestamps() const override { return 2; }
  std::unique_ptr<StreamTimestamps> MakeTimestamps(int64_t) override {
    return std::make_unique<Timestamps>(*this);
  }

  void Work(int64_t duration_ns) { now_ns_ += duration_ns; }

 private:
  class Timestamps : public StreamTimestamps {
   public:
    explicit Timestamps(FakeStream& stream) : stream_(stream) {}
    void Record(int64_t index) override {
      times_ns_.at(static_cast<size_t>(index)) = stream_.now_ns_;
    }
    int64_t ElapsedNs(int64_t from, int64_t to) override {
      return times_ns_.at(static_cast<size_t>(to)) - times_ns_.at(static_cast<size_t>(from));
    }

   private:
    FakeStream& stream_;
    std::array<int64_t, 2> times_ns_ = {};
  };

  int64_t now_ns_ = 0;
};

TEST(FirstNearFastest, TakesTheFirstThatIsAlmostAsFast) {
  EXPECT_EQ(FirstNearFastest(std::vector<int64_t>{1200, 1009, 1000, 1001}).index, 1u);
  EXPECT_EQ(FirstNearFastest(std::vector<int64_t>{1200, 1011, 1000, 1001}).index, 2u);
  EXPECT_EQ(FirstNearFastest(std::vector<int64_t>{kNeverNs, 7}).index, 1u);
  EXPECT_EQ(FirstNearFastest(std::vector<int64_t>{kNeverNs, 7}).elapsed_ns, 7);
}

TEST(FirstNearFastest, SaysWhereThereIsNone) {
  EXPECT_EQ(FirstNearFastest({}).elapsed_ns, kNeverNs);
  EXPECT_EQ(FirstNearFastest(std::vector<int64_t>{kNeverNs, kNeverNs}).elapsed_ns, kNeverNs);
}

// Candidates of these durations, each run behind one of 500 ns; 0 cannot run.
class FakeCandidates {
 public:
  FakeCandidates(FakeStream& stream, std::vector<int64_t> durations_ns)
      : num_runs(durations_ns.size()), stream_(stream), durations_ns_(std::move(durations_ns)) {}

  // `slowness` is asked at each run.
  Choice Choose(const std::function<double(size_t index)>& slowness = [](size_t) { return 1.0; }) {
    return Autotune(stream_,
                    {.count = durations_ns_.size(),
                     .prepare = [&] { stream_.Work(500); },
                     .enqueue =
                         [&](size_t index) {
                           if (durations_ns_[index] == 0) return false;
                           ++num_runs[index];
                           stream_.Work(static_cast<int64_t>(
                               static_cast<double>(durations_ns_[index]) * slowness(index)));
                           return true;
                         }});
  }

  std::vector<int> num_runs;

 private:
  FakeStream& stream_;
  std::vector<int64_t> durations_ns_;
};

TEST(Autotune, LeavesOutWhatCannotRunAndWhatIsHopeless) {
  FakeStream stream;
  FakeCandidates candidates(stream, {5000, 0, 1100, 1000, 1900});
  const Choice choice = candidates.Choose();
  EXPECT_EQ(choice.index, 3u);
  EXPECT_EQ(choice.elapsed_ns, 1000);
  EXPECT_EQ(candidates.num_runs[0], 2);
  EXPECT_EQ(candidates.num_runs[1], 0);
  EXPECT_EQ(candidates.num_runs[4], 2);
  EXPECT_EQ(candidates.num_runs[2], candidates.num_runs[3]);
  EXPECT_GT(candidates.num_runs[2], 2);
}

TEST(Autotune, SaysWhereNoneCanRun) {
  FakeStream stream;
  EXPECT_EQ(FakeCandidates(stream, {0, 0, 0}).Choose().elapsed_ns, kNeverNs);
  EXPECT_EQ(FakeCandidates(stream, {}).Choose().elapsed_ns, kNeverNs);
}

// Each run is 2 % slower than the one before: timed one after the other, the first would win.
TEST(Autotune, IsNotMisledByAClockThatFalls) {
  FakeStream stream;
  double slowness = 1;
  const Choice choice = FakeCandidates(stream, {10400, 10000}).Choose([&](size_t) {
    return slowness = std::min(1.5, slowness * 1.02);
  });
  EXPECT_EQ(choice.index, 1u);
}

// The GPU rests after every eighth run, and the next one is fast: less than half of the runs of any
// candidate.
TEST(Autotune, IsNotMisledByOutliers) {
  FakeStream stream;
  int num_runs = 0;
  const Choice choice = FakeCandidates(stream, {1050, 1000, 1100}).Choose([&](size_t) {
    return ++num_runs % 8 == 0 ? 0.5 : 1.0;
  });
  EXPECT_EQ(choice.index, 1u);
}

}  // namespace
}  // namespace sluice
