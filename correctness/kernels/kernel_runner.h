// Runs kernels on inputs given in float64 and reads their results back in float64, so that a test
// is written once for all precisions.
//
//   KernelRunner runner({.precision = Precision::kFloat32, .num_threads = 3});
//   Tensor out = runner.Poisoned({tokens, features});   // NaN: whatever is not written shows
//   runner.kernels().LinearForward({.x = runner.Put(x, {tokens, features}), ...});
//   ExpectWithin("out", runner.Get(out), ExpectLinear(...));
//
// Behind every tensor lies a guard that must not change; it is checked when the runner ends.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "core/device/cpu/cpu_device.h"
#include "core/kernels/cpu_kernels.h"
#include "core/reference/ops.h"
#include "core/tensor/dtype.h"
#include "correctness/tolerance/error_model.h"

namespace sluice {

struct KernelSetup {
  Precision precision = Precision::kFloat32;
  int num_threads = 1;

  Arithmetic arithmetic() const { return ArithmeticOf(precision); }
};

// "f32, 3 threads", for the messages of tests.
void PrintTo(const KernelSetup& setup, std::ostream* out);

// The CPU's precisions, each on 1, 2 and 3 threads.
std::vector<KernelSetup> CpuSetups();

// "f32_3_threads", for the names of tests.
std::string TestName(const testing::TestParamInfo<KernelSetup>& param);

class KernelRunner {
 public:
  explicit KernelRunner(const KernelSetup& setup);

  // Fails the test if a guard was overwritten.
  ~KernelRunner();

  Kernels& kernels() { return *kernels_; }

  // A tensor of these values, which must be numbers of the precision (see RandomValues); and one of
  // NaN.  Both live as long as the runner.
  Tensor Put(const reference::Values& values, Shape shape);
  Tensor Poisoned(Shape shape);

  reference::Values Get(const Tensor& tensor) const;

 private:
  std::unique_ptr<CpuDevice> device_;
  std::unique_ptr<CpuKernels> kernels_;
  DType dtype_;
  struct Allocation {
    Buffer buffer;
    int64_t size = 0;  // elements, without the guard
  };
  std::vector<Allocation> allocations_;
};

// Standard normal numbers, rounded to the precision's element type; different for each name.
reference::Values RandomValues(std::string_view name, int64_t size, Precision precision);

// Fails the test unless `actual` is within the expectation's bound, and unless that bound sees
// every fault of UndetectedPerturbations.
void ExpectWithin(std::string_view name, const reference::Values& actual,
                  const Expectation& expectation);

// Whether each element is NaN.
std::vector<bool> WhereNan(const reference::Values& values);

}  // namespace sluice
