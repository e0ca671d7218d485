#include "core/device/cpu/cpu_device.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/error.h"

namespace sluice {
namespace {

TEST(CpuDevice, CountsWhatItHandsOut) {
  CpuDevice device({.num_threads = 1});
  {
    Buffer a = device.Allocate(1000, "a");
    Buffer b = device.Allocate(3000, "b");
    EXPECT_EQ(device.allocated_bytes(), 4000);
    Buffer moved = std::move(a);
    EXPECT_EQ(moved.size_bytes(), 1000);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(b.data()) % 256, 0u);
  }
  EXPECT_EQ(device.allocated_bytes(), 0);
  EXPECT_EQ(device.peak_allocated_bytes(), 4000);
  EXPECT_EQ(device.num_allocations(), 2);
}

TEST(CpuDevice, StartsLargeBuffersAtAHugePage) {
  constexpr int64_t kHugePageBytes = int64_t{2} << 20;
  CpuDevice device({.num_threads = 1});
  std::vector<Buffer> buffers;
  for (const int64_t size_bytes : {kHugePageBytes, kHugePageBytes + 1, 5 * kHugePageBytes / 2}) {
    buffers.push_back(device.Allocate(size_bytes, "a"));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffers.back().data()) % kHugePageBytes, 0u);
  }
}

TEST(CpuDevice, NamesWhatDoesNotFit) {
  CpuDevice device({.num_threads = 1});
  try {
    device.Allocate(int64_t{1} << 50, "activations");
    FAIL();
  } catch (const Error& error) {
    EXPECT_TRUE(
        std::string(error.what()).starts_with("out of memory on cpu: activations needs 1.0 PiB, "))
        << error.what();
  }
  EXPECT_EQ(device.allocated_bytes(), 0);
}

TEST(CpuStream, GraphRunsItsWorkAtEachLaunch) {
  CpuDevice device({.num_threads = 1});
  std::unique_ptr<Stream> stream = device.MakeStream();
  int num_runs = 0;
  std::unique_ptr<StreamGraph> graph = stream->Capture([&num_runs] { ++num_runs; });
  EXPECT_EQ(num_runs, 0);
  graph->Launch();
  graph->Launch();
  EXPECT_EQ(num_runs, 2);
}

TEST(CpuStream, TimerMeasuresFromBeginToEnd) {
  CpuDevice device({.num_threads = 1});
  const std::unique_ptr<Stream> stream = device.MakeStream();
  const std::unique_ptr<StreamTimer> timer = stream->MakeTimer();
  timer->Begin();
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  timer->End();
  const int64_t elapsed_ns = timer->ElapsedNs();
  EXPECT_GE(elapsed_ns, 2'000'000);
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  EXPECT_EQ(timer->ElapsedNs(), elapsed_ns);
}

TEST(CpuStream, TimestampsMeasureFromOneToAnother) {
  CpuDevice device({.num_threads = 1});
  const std::unique_ptr<Stream> stream = device.MakeStream();
  EXPECT_GE(stream->max_timestamps(), 3);
  const std::unique_ptr<StreamTimestamps> timestamps = stream->MakeTimestamps(3);
  timestamps->Record(0);
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  timestamps->Record(1);
  timestamps->Record(2);
  EXPECT_GE(timestamps->ElapsedNs(0, 1), 2'000'000);
  EXPECT_GE(timestamps->ElapsedNs(1, 2), 0);
  EXPECT_EQ(timestamps->ElapsedNs(0, 2), timestamps->ElapsedNs(0, 1) + timestamps->ElapsedNs(1, 2));
}

TEST(CpuDevice, HasAtLeastOneCoreAndAName) {
  EXPECT_GE(NumCores(), 1);
  EXPECT_FALSE(CpuDevice({.num_threads = 1}).description().empty());
}

}  // namespace
}  // namespace sluice
