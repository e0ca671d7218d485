#include "core/device/cuda/cuda_device.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/device/cuda/gpu_test.h"

namespace sluice {
namespace {

class CudaDeviceTest : public GpuTest {};

TEST_F(CudaDeviceTest, CopiesThereAndBack) {
  CudaDevice device({});
  std::vector<float> values(1001);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) * 0.5f;
  const auto size_bytes = static_cast<int64_t>(values.size() * sizeof(float));
  Buffer buffer = device.Allocate(size_bytes, "values");
  device.CopyFromHost(buffer.data(), values.data(), size_bytes);
  std::vector<float> back(values.size());
  device.CopyToHost(back.data(), buffer.data(), size_bytes);
  EXPECT_EQ(back, values);
  EXPECT_EQ(device.allocated_bytes(), size_bytes);
}

TEST_F(CudaDeviceTest, NamesWhatDoesNotFit) {
  CudaDevice device({});
  try {
    device.Allocate(int64_t{1} << 50, "activations");
    FAIL();
  } catch (const Error& error) {
    EXPECT_TRUE(
        std::string(error.what()).starts_with("out of memory on cuda: activations needs 1.0 PiB, "))
        << error.what();
  }
}

TEST_F(CudaDeviceTest, NamesADeviceThatIsNotThere) {
  EXPECT_THROW(CudaDevice({.device_index = NumCudaDevices()}), Error);
  EXPECT_THROW(CudaDevice({.device_index = -1}), Error);
}

TEST_F(CudaDeviceTest, GraphReplaysWhatWasCaptured) {
  CudaDevice device({});
  std::unique_ptr<CudaStream> stream = device.MakeCudaStream();
  Buffer from = device.Allocate(4, "from");
  Buffer to = device.Allocate(4, "to");
  std::unique_ptr<StreamGraph> graph = stream->Capture([&] {
    cudaMemcpyAsync(to.data(), from.data(), 4, cudaMemcpyDeviceToDevice, stream->handle());
  });
  for (const int written : {7, 8}) {
    device.CopyFromHost(from.data(), &written, 4);
    graph->Launch();
    stream->Synchronize();
    int read = 0;
    device.CopyToHost(&read, to.data(), 4);
    EXPECT_EQ(read, written);
  }
}

TEST_F(CudaDeviceTest, TimerMeasuresOnTheDevice) {
  CudaDevice device({});
  std::unique_ptr<CudaStream> stream = device.MakeCudaStream();
  constexpr int64_t kBytes = int64_t{1} << 28;
  Buffer buffer = device.Allocate(kBytes, "buffer");
  std::unique_ptr<StreamTimer> timer = stream->MakeTimer();
  timer->Begin();
  cudaMemsetAsync(buffer.data(), 0, kBytes, stream->handle());
  timer->End();
  const int64_t elapsed_ns = timer->ElapsedNs();
  EXPECT_GT(elapsed_ns, kBytes / 20'000);  // 20 TB/s is more than any memory gives
  EXPECT_LT(elapsed_ns, 1'000'000'000);
}

// Sets `buffer` for so many times as long, with a timestamp before, between and after.
void RecordOneAndThree(CudaStream& stream, StreamTimestamps& timestamps, const Buffer& buffer) {
  const auto set = [&](int64_t index, int num_times) {
    timestamps.Record(index);
    for (int i = 0; i < num_times; ++i) {
      cudaMemsetAsync(buffer.data(), i, static_cast<size_t>(buffer.size_bytes()), stream.handle());
    }
  };
  set(0, 1);
  set(1, 3);
  set(2, 0);
}

TEST_F(CudaDeviceTest, TimestampsAreOfTheDeviceAndOfEachLaunchOfAGraph) {
  CudaDevice device({});
  std::unique_ptr<CudaStream> stream = device.MakeCudaStream();
  constexpr int64_t kBytes = int64_t{1} << 28;
  Buffer buffer = device.Allocate(kBytes, "buffer");
  EXPECT_GE(stream->max_timestamps(), 3);
  std::unique_ptr<StreamTimestamps> timestamps = stream->MakeTimestamps(3);
  const auto expect_one_and_three = [&] {
    stream->Synchronize();
    const int64_t one_ns = timestamps->ElapsedNs(0, 1);
    const int64_t three_ns = timestamps->ElapsedNs(1, 2);
    EXPECT_GT(one_ns, kBytes / 20'000);  // 20 TB/s is more than any memory gives
    EXPECT_GT(three_ns, 2 * one_ns);
    EXPECT_LT(three_ns, 4 * one_ns);
    EXPECT_NEAR(static_cast<double>(timestamps->ElapsedNs(0, 2)),
                static_cast<double>(one_ns + three_ns), 2000);
  };
  RecordOneAndThree(*stream, *timestamps, buffer);  // the first run loads what it needs
  for (int i = 0; i < 2; ++i) {
    RecordOneAndThree(*stream, *timestamps, buffer);
    expect_one_and_three();
  }
  const std::unique_ptr<StreamGraph> graph =
      stream->Capture([&] { RecordOneAndThree(*stream, *timestamps, buffer); });
  for (int i = 0; i < 3; ++i) {
    graph->Launch();
    expect_one_and_three();
  }
}

// The message where there is no GPU, on the machines that have none.
TEST(CudaDevice, SaysWhatIsMissing) {
  try {
    CudaDevice device({});
    GTEST_SKIP() << "this machine has a GPU";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("NVIDIA"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace sluice
