#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/device/cuda/cuda_check.h"
#include "core/kernels/cuda/element_types.h"
#include "core/kernels/cuda/vector_access.h"
#include "core/kernels/cuda/vector_io.cuh"
#include "core/kernels/matmul/relu_mask_cuda.h"

namespace sluice::cuda {
namespace {

constexpr int kThreads = 256;

template <int kSize, typename T>
__global__ void ReluMaskKernel(const T* relu_out, T* gradient, int64_t num_elements) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kSize;
  if (i >= num_elements) return;
  float mask[kSize];
  float values[kSize];
  LoadVector(relu_out + i, mask);
  LoadVector(gradient + i, values);
#pragma unroll
  for (int k = 0; k < kSize; ++k) values[k] = mask[k] > 0 ? values[k] : 0.0f;
  StoreVector(gradient + i, values);
}

template <int kSize, typename T>
void Launch(const Tensor& relu_out, const Tensor& gradient, cudaStream_t stream) {
  const int64_t num_elements = gradient.num_elements();
  const auto grid = static_cast<unsigned>(CeilDiv(num_elements, kThreads * kSize));
  ReluMaskKernel<kSize>
      <<<grid, kThreads, 0, stream>>>(relu_out.Data<T>(), gradient.Data<T>(), num_elements);
  SLUICE_CUDA_CHECK_LAUNCH("ReluMask");
}

}  // namespace

void ApplyReluMask(const Tensor& relu_out, const Tensor& gradient, cudaStream_t stream) {
  SLUICE_CHECK_EQ(relu_out.num_elements(), gradient.num_elements());
  DispatchDType(gradient.dtype(), [&](auto element) {
    using T = typename decltype(element)::type;
    if (VectorSizeFor<T>(gradient.num_elements(), relu_out.data(), gradient.data()) == 1) {
      Launch<1, T>(relu_out, gradient, stream);
    } else {
      Launch<kVectorSize<T>, T>(relu_out, gradient, stream);
    }
  });
}

}  // namespace sluice::cuda
