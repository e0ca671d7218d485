#include <algorithm>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/device/cuda/cuda_check.h"
#include "core/kernels/cuda/dependent_launch.cuh"
#include "core/kernels/cuda/element_types.h"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/cuda/vector_access.h"
#include "core/kernels/cuda/vector_io.cuh"
#include "core/kernels/loss/loss_cuda.h"

namespace sluice::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kMaxBlocks = 512;
constexpr int kMinElementsPerThread = 64;

struct LossResult {
  float* loss;
  double scale;
  WriteMode write_mode;
};

__device__ void WriteLoss(const LossResult& result, double sum) {
  const double old = result.write_mode == WriteMode::kAccumulate ? *result.loss : 0.0;
  *result.loss = static_cast<float>(old + result.scale * sum);
}

// partials[block] = the sum over the elements of the block; the loss itself where there is one
// block.
template <int kSize, typename T>
__global__ void LossForwardKernel(const T* z, const float* r, int64_t num_elements,
                                  double* partials, LossResult result) {
  __shared__ double shared[kThreads / kWarpSize];
  AllowNextKernel();
  WaitForPreviousKernels();
  double sum = 0;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads * kSize;
  for (int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kSize;
       i < num_elements; i += stride) {
    float values[kSize];
    float weights[kSize];
    LoadVector(z + i, values);
    if (r != nullptr) LoadVector(r + i, weights);
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      sum += r != nullptr ? static_cast<double>(values[k]) * weights[k] : values[k];
    }
  }
  sum = BlockSum(sum, shared);
  if (threadIdx.x != 0) return;
  if (gridDim.x == 1) {
    WriteLoss(result, sum);
  } else {
    partials[blockIdx.x] = sum;
  }
}

__global__ void SumLossPartialsKernel(const double* partials, int num_partials, LossResult result) {
  __shared__ double shared[kThreads / kWarpSize];
  AllowNextKernel();
  WaitForPreviousKernels();
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < num_partials; i += kThreads) sum += partials[i];
  sum = BlockSum(sum, shared);
  if (threadIdx.x == 0) WriteLoss(result, sum);
}

template <int kSize, typename T>
__global__ void LossBackwardKernel(const float* r, float scale, T* dz, int64_t num_elements) {
  AllowNextKernel();
  WaitForPreviousKernels();
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kSize;
  if (i >= num_elements) return;
  float values[kSize];
  if (r != nullptr) LoadVector(r + i, values);
#pragma unroll
  for (int k = 0; k < kSize; ++k) values[k] = r != nullptr ? values[k] * scale : scale;
  StoreVector(dz + i, values);
}

template <int kSize, typename T>
void LaunchForward(const LossForwardArgs& args, double* partials, cudaStream_t stream) {
  const int64_t num_elements = args.z.num_elements();
  const int num_blocks = static_cast<int>(std::min(
      CeilDiv(num_elements, int64_t{kThreads} * kMinElementsPerThread), int64_t{kMaxBlocks}));
  const LossResult result = {
      .loss = args.loss.Data<float>(), .scale = args.scale, .write_mode = args.write_mode};
  LaunchOverlapped(&LossForwardKernel<kSize, T>, {static_cast<unsigned>(num_blocks), kThreads},
                   stream, args.z.Data<T>(), args.r.present() ? args.r.Data<float>() : nullptr,
                   num_elements, partials, result);
  SLUICE_CUDA_CHECK_LAUNCH("LossForward");
  if (num_blocks == 1) return;
  LaunchOverlapped(&SumLossPartialsKernel, {1, kThreads}, stream, partials, num_blocks, result);
  SLUICE_CUDA_CHECK_LAUNCH("SumLossPartials");
}

template <int kSize, typename T>
void LaunchBackward(const LossBackwardArgs& args, cudaStream_t stream) {
  const int64_t num_elements = args.dz.num_elements();
  const auto grid = static_cast<unsigned>(CeilDiv(num_elements, kThreads * kSize));
  LaunchOverlapped(&LossBackwardKernel<kSize, T>, {grid, kThreads}, stream,
                   args.r.present() ? args.r.Data<float>() : nullptr,
                   static_cast<float>(args.scale), args.dz.Data<T>(), num_elements);
  SLUICE_CUDA_CHECK_LAUNCH("LossBackward");
}

}  // namespace

int64_t LossScratchBytes() { return int64_t{kMaxBlocks} * static_cast<int64_t>(sizeof(double)); }

void LossForward(const LossForwardArgs& args, void* scratch, cudaStream_t stream) {
  if (args.r.present()) SLUICE_CHECK_EQ(args.r.num_elements(), args.z.num_elements());
  DispatchDType(args.z.dtype(), [&](auto element) {
    using T = typename decltype(element)::type;
    auto* partials = static_cast<double*>(scratch);
    if (VectorSizeFor<T>(args.z.num_elements(), args.z.data(), args.r.data()) == 1) {
      LaunchForward<1, T>(args, partials, stream);
    } else {
      LaunchForward<kVectorSize<T>, T>(args, partials, stream);
    }
  });
}

void LossBackward(const LossBackwardArgs& args, cudaStream_t stream) {
  if (args.r.present()) SLUICE_CHECK_EQ(args.r.num_elements(), args.dz.num_elements());
  DispatchDType(args.dz.dtype(), [&](auto element) {
    using T = typename decltype(element)::type;
    if (VectorSizeFor<T>(args.dz.num_elements(), args.dz.data(), args.r.data()) == 1) {
      LaunchBackward<1, T>(args, stream);
    } else {
      LaunchBackward<kVectorSize<T>, T>(args, stream);
    }
  });
}

}  // namespace sluice::cuda
