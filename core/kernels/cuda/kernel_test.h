// What the tests of CUDA kernels share: tensors on the GPU whose values the host knows in float64,
// and the comparison of a kernel's result with a float64 reference under a bound for each element.
//
// Inputs are rounded to their element type before the reference sees them, so that it computes from
// the same numbers as the kernel.  Outputs start as NaN: an element that was not written is an
// error.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/device/cuda/cuda_device.h"
#include "core/device/cuda/gpu_test.h"
#include "core/tensor/dtype.h"
#include "core/tensor/tensor.h"

namespace sluice::cuda {

// Unit roundoff of float32 accumulation.
inline constexpr double kUnit = 0x1p-24;

// The most that storing `x` in `dtype` changes it: half a unit in the last place, or half the
// smallest number.
double StorageError(DType dtype, double x);

// A tensor on the GPU and, where it was filled from the host, its values.
struct DeviceTensor {
  Buffer buffer;
  Tensor tensor;
  std::vector<double> values;
};

// What a kernel should give, and how far off each element may be.
struct Expected {
  std::vector<double> reference;
  std::vector<double> bound;
};

class KernelTest : public GpuTest {
 protected:
  void SetUp() override;

  // Standard normal values, rounded to `dtype`, that depend on `name` alone.
  DeviceTensor Random(DType dtype, const Shape& shape, const std::string& name);
  // Values given, rounded to `dtype`.
  DeviceTensor FromValues(DType dtype, const Shape& shape, const std::vector<double>& values);
  // NaN everywhere.
  DeviceTensor Unwritten(DType dtype, const Shape& shape);

  // Waits for the stream and returns what the tensor holds now.
  std::vector<double> Read(const Tensor& tensor);

  // Adds a test failure unless |result - reference| <= bound for every element; NaN fails.
  void ExpectWithin(const Tensor& result, const std::vector<double>& reference,
                    const std::vector<double>& bound, const std::string& what);

  CudaDevice& device() { return *device_; }
  CudaStream& stream() { return *stream_; }

 private:
  std::unique_ptr<CudaDevice> device_;
  std::unique_ptr<CudaStream> stream_;
};

// The first element outside its bound, in words; empty if there is none.
std::string FindOutsideBound(const std::vector<double>& result,
                             const std::vector<double>& reference,
                             const std::vector<double>& bound);

}  // namespace sluice::cuda
