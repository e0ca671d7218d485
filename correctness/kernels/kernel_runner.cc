#include "correctness/kernels/kernel_runner.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/base/rng.h"
#include "correctness/tolerance/compare.h"

namespace sluice {
namespace {

using reference::Values;

constexpr int64_t kGuardSize = 64;
constexpr double kGuardValue = 12345;

// Larger than anything in these tests: scratch memory of any call.
constexpr KernelLimits kLimits = {.max_tokens = 4096,
                                  .max_seq_len = 1024,
                                  .max_batch_size = 8,
                                  .hidden_size = 1024,
                                  .num_heads = 8,
                                  .head_dim = 128,
                                  .max_features = 4096};

// Calls function(T*) with the memory as the element type's.
template <typename Function>
void WithElements(void* data, DType dtype, const Function& function) {
  SLUICE_CHECK(dtype == DType::kFloat32 || dtype == DType::kFloat64);
  if (dtype == DType::kFloat32) {
    function(static_cast<float*>(data));
  } else {
    function(static_cast<double*>(data));
  }
}

}  // namespace

void PrintTo(const KernelSetup& setup, std::ostream* out) {
  *out << Name(setup.precision) << ", " << setup.num_threads << " threads";
}

std::vector<KernelSetup> CpuSetups() {
  std::vector<KernelSetup> setups;
  for (const Precision precision : {Precision::kFloat64, Precision::kFloat32}) {
    for (const int num_threads : {1, 2, 3}) setups.push_back({precision, num_threads});
  }
  return setups;
}

std::string TestName(const testing::TestParamInfo<KernelSetup>& param) {
  return fmt::format("{}_{}_threads", Name(param.param.precision), param.param.num_threads);
}

KernelRunner::KernelRunner(const KernelSetup& setup)
    : device_(std::make_unique<CpuDevice>(CpuDeviceOptions{.num_threads = setup.num_threads})),
      kernels_(std::make_unique<CpuKernels>(*device_, StorageDType(setup.precision))),
      dtype_(StorageDType(setup.precision)) {
  kernels_->Reserve(kLimits);
}

KernelRunner::~KernelRunner() {
  for (const Allocation& allocation : allocations_) {
    WithElements(allocation.buffer.data(), dtype_, [&](const auto* elements) {
      for (int64_t i = allocation.size; i < allocation.size + kGuardSize; ++i) {
        EXPECT_EQ(elements[i], kGuardValue) << "a kernel wrote behind the end of a tensor";
      }
    });
  }
}

Tensor KernelRunner::Put(const Values& values, Shape shape) {
  const auto size = static_cast<int64_t>(values.size());
  SLUICE_CHECK_EQ(size, shape.num_elements());
  Buffer buffer = device_->Allocate((size + kGuardSize) * SizeOf(dtype_), "a test's tensor");
  WithElements(buffer.data(), dtype_, [&](auto* elements) {
    std::copy(values.begin(), values.end(), elements);
    std::fill(elements + size, elements + size + kGuardSize, kGuardValue);
  });
  allocations_.push_back({std::move(buffer), size});
  return Tensor(allocations_.back().buffer.data(), dtype_, shape);
}

Tensor KernelRunner::Poisoned(Shape shape) {
  return Put(
      Values(static_cast<size_t>(shape.num_elements()), std::numeric_limits<double>::quiet_NaN()),
      shape);
}

Values KernelRunner::Get(const Tensor& tensor) const {
  Values values;
  WithElements(tensor.data(), tensor.dtype(), [&](const auto* elements) {
    values.assign(elements, elements + tensor.num_elements());
  });
  return values;
}

Values RandomValues(std::string_view name, int64_t size, Precision precision) {
  const RandomStream stream(7, name);
  Values values(static_cast<size_t>(size));
  for (size_t i = 0; i < values.size(); ++i) {
    const double value = stream.Normal(i);
    values[i] = precision == Precision::kFloat64 ? value : static_cast<float>(value);
  }
  return values;
}

void ExpectWithin(std::string_view name, const Values& actual, const Expectation& expectation) {
  const Bound bound = BoundOf(expectation);
  const Comparison comparison =
      CompareTensors<double, double>(name, actual, expectation.values, bound);
  EXPECT_TRUE(comparison.pass) << ToString(comparison);
  for (const Perturbation fault : UndetectedPerturbations(expectation.values, bound)) {
    ADD_FAILURE() << name << ": the bound does not see " << Name(fault);
  }
}

std::vector<bool> WhereNan(const Values& values) {
  std::vector<bool> where;
  for (const double value : values) where.push_back(std::isnan(value));
  return where;
}

}  // namespace sluice
