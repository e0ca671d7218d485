#include "core/model/draw_rows.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "core/device/cpu/cpu_device.h"
#include "core/tensor/convert.h"

namespace sluice {
namespace {

// Host memory that is only written through CopyFromHost, as a GPU's is.
class FarDevice : public CpuDevice {
 public:
  FarDevice() : CpuDevice({.num_threads = 1}) {}
  DeviceKind kind() const override { return DeviceKind::kCuda; }
  void CopyFromHost(void* to, const void* from_host, int64_t size_bytes) override {
    largest_copy_bytes_ = std::max(largest_copy_bytes_, size_bytes);
    CpuDevice::CopyFromHost(to, from_host, size_bytes);
  }
  int64_t largest_copy_bytes() const { return largest_copy_bytes_; }

 private:
  int64_t largest_copy_bytes_ = 0;
};

double Value(int64_t element) { return 1.0 / static_cast<double>(3 + element); }

void ExpectDrawn(Device& device, DType dtype, const Shape& shape) {
  const Tensor sizes(nullptr, dtype, shape);
  const Buffer buffer = device.Allocate(sizes.num_bytes(), "a tensor");
  const Tensor tensor(buffer.data(), dtype, shape);
  std::memset(buffer.data(), 0xff, static_cast<size_t>(tensor.num_bytes()));
  ThreadPool pool(3);
  DrawRows(device, pool, tensor, [&](int64_t row_begin, std::span<double> rows) {
    ASSERT_EQ(static_cast<int64_t>(rows.size()) % tensor.row_size(), 0);
    int64_t element = row_begin * tensor.row_size();
    for (double& value : rows) value = Value(element++);
  });
  std::vector<double> values(static_cast<size_t>(tensor.num_elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = Value(static_cast<int64_t>(i));
  std::vector<char> expected(static_cast<size_t>(tensor.num_bytes()));
  ConvertFrom(Tensor(expected.data(), dtype, shape), std::span<const double>(values));
  EXPECT_EQ(std::memcmp(expected.data(), tensor.data(), expected.size()), 0)
      << dtype << " " << shape;
}

TEST(DrawRows, RoundsEachElementOnceToTheTensorsType) {
  CpuDevice device({.num_threads = 1});
  for (const DType dtype : {DType::kFloat64, DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    ExpectDrawn(device, dtype, {1});
    ExpectDrawn(device, dtype, {50'001});
    ExpectDrawn(device, dtype, {7, 2, 3001});
  }
}

TEST(DrawRows, CopiesToAnotherDeviceInPieces) {
  FarDevice device;
  ExpectDrawn(device, DType::kFloat32, {2'000, 1'999});  // 15.3 MiB
  EXPECT_LE(device.largest_copy_bytes(), 8 << 20);
  ExpectDrawn(device, DType::kBFloat16, {2, 5'000'001});  // each row is larger than a piece
  ExpectDrawn(device, DType::kFloat16, {5});
}

TEST(DrawRows, ThrowsWhatADrawingThrowsOnAnyThread) {
  ThreadPool pool(3);
  CpuDevice device({.num_threads = 1});
  const Buffer buffer = device.Allocate(300 * 8, "a tensor");
  for (const int64_t bad_row : {0, 150, 299}) {
    const auto draw = [&](int64_t row_begin, std::span<double> rows) {
      if (row_begin <= bad_row && bad_row < row_begin + std::ssize(rows)) {
        throw std::runtime_error("unreadable");
      }
    };
    EXPECT_THROW(DrawRows(device, pool, Tensor(buffer.data(), DType::kFloat64, {300}), draw),
                 std::runtime_error);
  }
}

TEST(DrawRows, LeavesAnEmptyTensorAlone) {
  ThreadPool pool(2);
  CpuDevice device({.num_threads = 1});
  FarDevice far;
  const auto draw = [](int64_t, std::span<double>) { FAIL(); };
  DrawRows(device, pool, Tensor(nullptr, DType::kFloat32, {0, 4}), draw);
  DrawRows(far, pool, Tensor(nullptr, DType::kFloat32, {0, 4}), draw);
}

}  // namespace
}  // namespace sluice
