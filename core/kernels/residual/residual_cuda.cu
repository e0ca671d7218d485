#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/device/cuda/cuda_check.h"
#include "core/kernels/cuda/dependent_launch.cuh"
#include "core/kernels/cuda/element_types.h"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/cuda/vector_access.h"
#include "core/kernels/cuda/vector_io.cuh"
#include "core/kernels/residual/residual_cuda.h"

namespace sluice::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T>
struct Params {
  const T* x;
  const T* bias;
  const T* residual;
  T* out;
  int64_t num_elements;
  int hidden_size;
};

template <int kSize, typename T>
__global__ void AddBiasResidualKernel(Params<T> p) {
  AllowNextKernel();
  WaitForPreviousKernels();
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kSize;
  if (i >= p.num_elements) return;
  float x[kSize];
  float bias[kSize];
  float residual[kSize];
  LoadVector(p.x + i, x);
  LoadVector(p.residual + i, residual);
  LoadVector(p.bias + i % p.hidden_size, bias);
#pragma unroll
  for (int k = 0; k < kSize; ++k) x[k] += bias[k] + residual[k];
  StoreVector(p.out + i, x);
}

template <int kSize, typename T>
void Launch(const Params<T>& params, cudaStream_t stream) {
  const auto grid = static_cast<unsigned>(CeilDiv(params.num_elements, kThreads * kSize));
  LaunchOverlapped(&AddBiasResidualKernel<kSize, T>, {grid, kThreads}, stream, params);
  SLUICE_CUDA_CHECK_LAUNCH("AddBiasResidual");
}

}  // namespace

void AddBiasResidual(const AddBiasResidualArgs& args, cudaStream_t stream) {
  SLUICE_CHECK_EQ(args.x.num_elements(), args.residual.num_elements());
  SLUICE_CHECK_EQ(args.x.num_elements(), args.out.num_elements());
  SLUICE_CHECK_EQ(args.x.num_elements() % args.bias.num_elements(), 0);
  DispatchDType(args.x.dtype(), [&](auto element) {
    using T = typename decltype(element)::type;
    const Params<T> params = {.x = args.x.Data<T>(),
                              .bias = args.bias.Data<T>(),
                              .residual = args.residual.Data<T>(),
                              .out = args.out.Data<T>(),
                              .num_elements = args.x.num_elements(),
                              .hidden_size = static_cast<int>(args.bias.num_elements())};
    if (VectorSizeFor<T>(params.hidden_size, params.x, params.bias, params.residual, params.out) ==
        1) {
      Launch<1>(params, stream);
    } else {
      Launch<kVectorSize<T>>(params, stream);
    }
  });
}

}  // namespace sluice::cuda
