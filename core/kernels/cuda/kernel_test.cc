#include "core/kernels/cuda/kernel_test.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "core/base/check.h"
#include "core/base/rng.h"
#include "core/kernels/cuda/element_types.h"

namespace sluice::cuda {
namespace {

constexpr uint64_t kSeed = 20;

// The values as `dtype` stores them; `values` become what is stored.
std::vector<std::byte> Encode(DType dtype, std::vector<double>& values) {
  std::vector<std::byte> bytes(values.size() * static_cast<size_t>(SizeOf(dtype)));
  DispatchDType(dtype, [&](auto element) {
    using T = typename decltype(element)::type;
    for (size_t i = 0; i < values.size(); ++i) {
      const T stored(static_cast<float>(values[i]));
      std::memcpy(bytes.data() + i * sizeof(T), &stored, sizeof(T));
      values[i] = static_cast<double>(static_cast<float>(stored));
    }
  });
  return bytes;
}

std::vector<double> Decode(DType dtype, const std::vector<std::byte>& bytes) {
  std::vector<double> values(bytes.size() / static_cast<size_t>(SizeOf(dtype)));
  DispatchDType(dtype, [&](auto element) {
    using T = typename decltype(element)::type;
    for (size_t i = 0; i < values.size(); ++i) {
      T stored;
      std::memcpy(static_cast<void*>(&stored), bytes.data() + i * sizeof(T), sizeof(T));
      values[i] = static_cast<double>(static_cast<float>(stored));
    }
  });
  return values;
}

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
  DeviceTensor made;
  made.values = values;
  SLUICE_CHECK_EQ(static_cast<int64_t>(values.size()), shape.num_elements());
  const std::vector<std::byte> bytes = Encode(dtype, made.values);
  const auto size_bytes = static_cast<int64_t>(bytes.size());
  made.buffer = device().Allocate(size_bytes, "a tensor of a test");
  device().CopyFromHost(made.buffer.data(), bytes.data(), size_bytes);
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
  return Decode(tensor.dtype(), bytes);
}

void KernelTest::ExpectWithin(const Tensor& result, const std::vector<double>& reference,
                              const std::vector<double>& bound, const std::string& what) {
  EXPECT_EQ(FindOutsideBound(Read(result), reference, bound), "") << what;
}

}  // namespace sluice::cuda
