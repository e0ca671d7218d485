#include "core/kernels/cuda/kernel_test.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <utility>

#include "core/base/check.h"
#include "core/base/rng.h"
#include "core/tensor/convert.h"

namespace sluice::cuda {
namespace {

constexpr uint64_t kSeed = 20;

double SmallestNumber(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return 0x1p-24;
    case DType::kFloat64:
      return std::numeric_limits<double>::denorm_min();
    case DType::kFloat32:
    case DType::kBFloat16:
      break;
  }
  // Tensor cores and fast functions flush smaller numbers to zero.
  return std::numeric_limits<float>::min();
}

}  // namespace

double StorageError(DType dtype, double x) {
  return UnitRoundoff(dtype) * std::abs(x) + SmallestNumber(dtype) / 2;
}

std::string FindOutsideBound(const std::vector<double>& result,
                             const std::vector<double>& reference,
                             const std::vector<double>& bound) {
  SLUICE_CHECK_EQ(result.size(), reference.size());
  SLUICE_CHECK_EQ(result.size(), bound.size());
  for (size_t i = 0; i < result.size(); ++i) {
    if (std::abs(result[i] - reference[i]) <= bound[i]) continue;
    return fmt::format("element {}: {} instead of {}, off by {:.3g}, allowed {:.3g}", i, result[i],
                       reference[i], std::abs(result[i] - reference[i]), bound[i]);
  }
  return "";
}

void KernelTest::SetUp() {
  GpuTest::SetUp();
  if (IsSkipped()) return;
  device_ = std::make_unique<CudaDevice>(CudaDeviceOptions{});
  stream_ = device_->MakeCudaStream();
}

DeviceTensor KernelTest::FromValues(DType dtype, const Shape& shape,
                                    const std::vector<double>& values) {
  std::vector<std::byte> bytes(values.size() * static_cast<size_t>(SizeOf(dtype)));
  const Tensor host(bytes.data(), dtype, shape);
  ConvertFrom(host, values);
  DeviceTensor made;
  made.values.resize(values.size());
  ConvertTo(made.values, host);
  made.buffer = device().Allocate(host.num_bytes(), "a tensor of a test");
  device().CopyFromHost(made.buffer.data(), bytes.data(), host.num_bytes());
  made.tensor = Tensor(made.buffer.data(), dtype, shape);
  return made;
}

DeviceTensor KernelTest::Random(DType dtype, const Shape& shape, const std::string& name) {
  const RandomStream rng(kSeed, name);
  std::vector<double> values(static_cast<size_t>(shape.num_elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = rng.Normal(i);
  return FromValues(dtype, shape, values);
}

DeviceTensor KernelTest::Unwritten(DType dtype, const Shape& shape) {
  return FromValues(dtype, shape,
                    std::vector<double>(static_cast<size_t>(shape.num_elements()),
                                        std::numeric_limits<double>::quiet_NaN()));
}

std::vector<double> KernelTest::Read(const Tensor& tensor) {
  stream().Synchronize();
  std::vector<std::byte> bytes(static_cast<size_t>(tensor.num_bytes()));
  device().CopyToHost(bytes.data(), tensor.data(), tensor.num_bytes());
  std::vector<double> values(static_cast<size_t>(tensor.num_elements()));
  ConvertTo(values, Tensor(bytes.data(), tensor.dtype(), tensor.shape()));
  return values;
}

void KernelTest::ExpectWithin(const Tensor& result, const std::vector<double>& reference,
                              const std::vector<double>& bound, const std::string& what) {
  EXPECT_EQ(FindOutsideBound(Read(result), reference, bound), "") << what;
}

}  // namespace sluice::cuda
