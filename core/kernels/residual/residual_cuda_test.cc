#include "core/kernels/residual/residual_cuda.h"

#include <cmath>
#include <string>
#include <vector>

#include "core/kernels/cuda/kernel_test.h"

namespace sluice::cuda {
namespace {

class ResidualCudaTest : public KernelTest {};

TEST_F(ResidualCudaTest, AddsAlsoInPlaceAndForOddSizes) {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    for (const Shape& shape : {Shape{1, 1}, Shape{7, 13}, Shape{128, 256}, Shape{301, 1600}}) {
      const DeviceTensor x = Random(dtype, shape, "x");
      const DeviceTensor bias = Random(dtype, {shape[1]}, "bias");
      const DeviceTensor residual = Random(dtype, shape, "residual");
      const DeviceTensor out = Unwritten(dtype, shape);
      std::vector<double> reference;
      std::vector<double> bound;
      for (size_t i = 0; i < x.values.size(); ++i) {
        const double b = bias.values[i % bias.values.size()];
        const double expected = x.values[i] + b + residual.values[i];
        reference.push_back(expected);
        bound.push_back(2 * kUnit *
                            (std::abs(x.values[i]) + std::abs(b) + std::abs(residual.values[i])) +
                        1.01 * StorageError(dtype, expected));
      }
      for (const Tensor& to : {out.tensor, x.tensor}) {
        AddBiasResidual(
            {.x = x.tensor, .bias = bias.tensor, .residual = residual.tensor, .out = to},
            stream().handle());
        ExpectWithin(to, reference, bound, shape.ToString());
      }
    }
  }
}

}  // namespace
}  // namespace sluice::cuda
