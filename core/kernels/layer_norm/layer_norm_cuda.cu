#include <algorithm>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/device/cuda/cuda_check.h"
#include "core/kernels/cuda/column_sums.h"
#include "core/kernels/cuda/element_types.h"
#include "core/kernels/cuda/vector_io.cuh"
#include "core/kernels/layer_norm/layer_norm_cuda.h"

namespace sluice::cuda {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int kMaxVectorsPerThread = 4;
constexpr int kMaxWarps = kMaxThreads / kWarpSize;
constexpr int kStridedThreads = 512;
// Blocks of the backward: two for each multiprocessor of the largest GPUs of today.
constexpr int kMaxBackwardBlocks = 264;

template <typename T>
struct ForwardParams {
  const T* x;
  const float* weight;
  const float* bias;
  T* out;
  float* mean;
  float* rstd;
  int hidden_size;
};

template <typename T>
struct BackwardParams {
  const T* dout;
  const T* x;
  const float* weight;
  const float* mean;
  const float* rstd;
  const T* residual_gradient;  // or nullptr
  T* dx;
  float* partials;  // [gridDim.x, 2, hidden_size]: dweight, dbias
  int64_t num_tokens;
  int hidden_size;
};

// The sums of two values over the block; every thread gets both.
__device__ float2 BlockSum2(float2 x, float2* shared) {
  x.x = WarpSum(x.x);
  x.y = WarpSum(x.y);
  const int num_warps = static_cast<int>(blockDim.x) / kWarpSize;
  if (num_warps == 1) return x;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  if (lane == 0) shared[threadIdx.x / kWarpSize] = x;
  __syncthreads();
  x = lane < num_warps ? shared[lane] : float2{0, 0};
  return {WarpSum(x.x), WarpSum(x.y)};
}

// One token a block, kVectors vectors of kSize elements a thread, all in registers.
template <typename T, int kVectors>
__global__ void __launch_bounds__(kMaxThreads) ForwardKernel(ForwardParams<T> p) {
  constexpr int kSize = kVectorSize<T>;
  __shared__ float shared_sum[kMaxWarps];
  __shared__ float shared_square[kMaxWarps];
  const int64_t offset = static_cast<int64_t>(blockIdx.x) * p.hidden_size;
  float values[kVectors][kSize];
  float sum = 0;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int column = static_cast<int>(v * blockDim.x + threadIdx.x) * kSize;
    if (column >= p.hidden_size) continue;
    LoadVector(p.x + offset + column, values[v]);
#pragma unroll
    for (int i = 0; i < kSize; ++i) sum += values[v][i];
  }
  const float scale = 1.0f / static_cast<float>(p.hidden_size);
  const float mean = BlockSum(sum, shared_sum) * scale;
  float square = 0;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    if (static_cast<int>(v * blockDim.x + threadIdx.x) * kSize >= p.hidden_size) continue;
#pragma unroll
    for (int i = 0; i < kSize; ++i) square += (values[v][i] - mean) * (values[v][i] - mean);
  }
  const float variance = BlockSum(square, shared_square) * scale;
  const float rstd = rsqrtf(variance + static_cast<float>(kLayerNormEpsilon));
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int column = static_cast<int>(v * blockDim.x + threadIdx.x) * kSize;
    if (column >= p.hidden_size) continue;
    float weight[kSize];
    float bias[kSize];
    LoadVector(p.weight + column, weight);
    LoadVector(p.bias + column, bias);
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      values[v][i] = (values[v][i] - mean) * rstd * weight[i] + bias[i];
    }
    StoreVector(p.out + offset + column, values[v]);
  }
  if (threadIdx.x == 0) {
    p.mean[blockIdx.x] = mean;
    p.rstd[blockIdx.x] = rstd;
  }
}

// The same for any hidden size and alignment: reads x three times.
template <typename T>
__global__ void __launch_bounds__(kStridedThreads) StridedForwardKernel(ForwardParams<T> p) {
  __shared__ float shared_sum[kMaxWarps];
  __shared__ float shared_square[kMaxWarps];
  const int64_t offset = static_cast<int64_t>(blockIdx.x) * p.hidden_size;
  const int first = static_cast<int>(threadIdx.x);
  const float scale = 1.0f / static_cast<float>(p.hidden_size);
  float sum = 0;
  for (int c = first; c < p.hidden_size; c += kStridedThreads) sum += LoadAsFloat(p.x + offset + c);
  const float mean = BlockSum(sum, shared_sum) * scale;
  float square = 0;
  for (int c = first; c < p.hidden_size; c += kStridedThreads) {
    const float centred = LoadAsFloat(p.x + offset + c) - mean;
    square += centred * centred;
  }
  const float variance = BlockSum(square, shared_square) * scale;
  const float rstd = rsqrtf(variance + static_cast<float>(kLayerNormEpsilon));
  for (int c = first; c < p.hidden_size; c += kStridedThreads) {
    const float normalised = (LoadAsFloat(p.x + offset + c) - mean) * rstd;
    StoreFloat(p.out + offset + c, normalised * p.weight[c] + p.bias[c]);
  }
  if (threadIdx.x == 0) {
    p.mean[blockIdx.x] = mean;
    p.rstd[blockIdx.x] = rstd;
  }
}

// With g = dout * weight and n = (x - mean) * rstd:
//   dx = rstd * (g - average(g) - n * average(g * n)) + residual_gradient
template <typename T, int kVectors>
__global__ void __launch_bounds__(kMaxThreads) BackwardKernel(BackwardParams<T> p) {
  constexpr int kSize = kVectorSize<T>;
  __shared__ float2 shared[2][kMaxWarps];
  float dweight[kVectors][kSize] = {};
  float dbias[kVectors][kSize] = {};
  const float scale = 1.0f / static_cast<float>(p.hidden_size);
  int parity = 0;  // two buffers, so that one barrier a token is enough
  for (int64_t token = blockIdx.x; token < p.num_tokens; token += gridDim.x, parity ^= 1) {
    const int64_t offset = token * p.hidden_size;
    const float mean = p.mean[token];
    const float rstd = p.rstd[token];
    float normalised[kVectors][kSize];
    float g[kVectors][kSize];
    float2 sums = {0, 0};
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int column = static_cast<int>(v * blockDim.x + threadIdx.x) * kSize;
      if (column >= p.hidden_size) continue;
      float weight[kSize];
      LoadVector(p.x + offset + column, normalised[v]);
      LoadVector(p.dout + offset + column, g[v]);
      LoadVector(p.weight + column, weight);
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        normalised[v][i] = (normalised[v][i] - mean) * rstd;
        dweight[v][i] += g[v][i] * normalised[v][i];
        dbias[v][i] += g[v][i];
        g[v][i] *= weight[i];
        sums.x += g[v][i];
        sums.y += g[v][i] * normalised[v][i];
      }
    }
    sums = BlockSum2(sums, shared[parity]);
    const float average_g = sums.x * scale;
    const float average_gn = sums.y * scale;
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int column = static_cast<int>(v * blockDim.x + threadIdx.x) * kSize;
      if (column >= p.hidden_size) continue;
      float around[kSize] = {};
      if (p.residual_gradient != nullptr) LoadVector(p.residual_gradient + offset + column, around);
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        around[i] += rstd * (g[v][i] - average_g - normalised[v][i] * average_gn);
      }
      StoreVector(p.dx + offset + column, around);
    }
  }
  float* partials = p.partials + static_cast<int64_t>(blockIdx.x) * 2 * p.hidden_size;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int column = static_cast<int>(v * blockDim.x + threadIdx.x) * kSize;
    if (column >= p.hidden_size) continue;
    StoreVector(partials + column, dweight[v]);
    StoreVector(partials + p.hidden_size + column, dbias[v]);
  }
}

// The same for any hidden size and alignment: a block's share of dweight and dbias is in memory.
template <typename T>
__global__ void __launch_bounds__(kStridedThreads) StridedBackwardKernel(BackwardParams<T> p) {
  __shared__ float2 shared[2][kMaxWarps];
  float* dweight = p.partials + static_cast<int64_t>(blockIdx.x) * 2 * p.hidden_size;
  float* dbias = dweight + p.hidden_size;
  const int first = static_cast<int>(threadIdx.x);
  const float scale = 1.0f / static_cast<float>(p.hidden_size);
  for (int c = first; c < p.hidden_size; c += kStridedThreads) dweight[c] = dbias[c] = 0;
  int parity = 0;
  for (int64_t token = blockIdx.x; token < p.num_tokens; token += gridDim.x, parity ^= 1) {
    const int64_t offset = token * p.hidden_size;
    const float mean = p.mean[token];
    const float rstd = p.rstd[token];
    float2 sums = {0, 0};
    for (int c = first; c < p.hidden_size; c += kStridedThreads) {
      const float dout = LoadAsFloat(p.dout + offset + c);
      const float normalised = (LoadAsFloat(p.x + offset + c) - mean) * rstd;
      dweight[c] += dout * normalised;
      dbias[c] += dout;
      sums.x += dout * p.weight[c];
      sums.y += dout * p.weight[c] * normalised;
    }
    sums = BlockSum2(sums, shared[parity]);
    const float average_g = sums.x * scale;
    const float average_gn = sums.y * scale;
    for (int c = first; c < p.hidden_size; c += kStridedThreads) {
      const float g = LoadAsFloat(p.dout + offset + c) * p.weight[c];
      const float normalised = (LoadAsFloat(p.x + offset + c) - mean) * rstd;
      const float around =
          p.residual_gradient != nullptr ? LoadAsFloat(p.residual_gradient + offset + c) : 0.0f;
      StoreFloat(p.dx + offset + c, around + rstd * (g - average_g - normalised * average_gn));
    }
  }
}

// How a token of `num_vectors` vectors is spread over the threads of a block.
struct BlockShape {
  int vectors_per_thread = 0;
  unsigned num_threads = 0;
};

BlockShape ShapeFor(int64_t num_vectors) {
  int vectors_per_thread = 1;
  while (num_vectors > int64_t{kMaxThreads} * vectors_per_thread) vectors_per_thread *= 2;
  const int64_t num_warps = CeilDiv(num_vectors, int64_t{kWarpSize} * vectors_per_thread);
  return {vectors_per_thread, static_cast<unsigned>(num_warps * kWarpSize)};
}

bool FitsInRegisters(int64_t num_vectors) {
  return num_vectors <= int64_t{kMaxThreads} * kMaxVectorsPerThread;
}

template <typename T>
void LaunchForward(const LayerNormForwardArgs& args, cudaStream_t stream) {
  const int64_t hidden_size = args.weight.num_elements();
  const auto num_tokens = static_cast<unsigned>(args.x.num_elements() / hidden_size);
  const ForwardParams<T> params = {.x = args.x.Data<T>(),
                                   .weight = args.weight.Data<float>(),
                                   .bias = args.bias.Data<float>(),
                                   .out = args.out.Data<T>(),
                                   .mean = args.mean.Data<float>(),
                                   .rstd = args.rstd.Data<float>(),
                                   .hidden_size = static_cast<int>(hidden_size)};
  const bool is_vectorised =
      VectorSizeFor<T>(hidden_size, params.x, params.weight, params.bias, params.out) > 1;
  const int64_t num_vectors = hidden_size / kVectorSize<T>;
  if (!is_vectorised || !FitsInRegisters(num_vectors)) {
    StridedForwardKernel<<<num_tokens, kStridedThreads, 0, stream>>>(params);
  } else if (const BlockShape shape = ShapeFor(num_vectors); shape.vectors_per_thread == 1) {
    ForwardKernel<T, 1><<<num_tokens, shape.num_threads, 0, stream>>>(params);
  } else if (shape.vectors_per_thread == 2) {
    ForwardKernel<T, 2><<<num_tokens, shape.num_threads, 0, stream>>>(params);
  } else {
    ForwardKernel<T, kMaxVectorsPerThread><<<num_tokens, shape.num_threads, 0, stream>>>(params);
  }
  SLUICE_CUDA_CHECK_LAUNCH("LayerNormForward");
}

unsigned NumBackwardBlocks(const LayerNormBackwardArgs& args) {
  const int64_t num_tokens = args.x.num_elements() / args.weight.num_elements();
  return static_cast<unsigned>(std::min(num_tokens, int64_t{kMaxBackwardBlocks}));
}

template <typename T>
void LaunchBackward(const LayerNormBackwardArgs& args, float* scratch, cudaStream_t stream) {
  const int64_t hidden_size = args.weight.num_elements();
  const int64_t num_tokens = args.x.num_elements() / hidden_size;
  const BackwardParams<T> params = {.dout = args.dout.Data<T>(),
                                    .x = args.x.Data<T>(),
                                    .weight = args.weight.Data<float>(),
                                    .mean = args.mean.Data<float>(),
                                    .rstd = args.rstd.Data<float>(),
                                    .residual_gradient = args.residual_gradient.present()
                                                             ? args.residual_gradient.Data<T>()
                                                             : nullptr,
                                    .dx = args.dx.Data<T>(),
                                    .partials = scratch,
                                    .num_tokens = num_tokens,
                                    .hidden_size = static_cast<int>(hidden_size)};
  const unsigned num_blocks = NumBackwardBlocks(args);
  const bool is_vectorised = VectorSizeFor<T>(hidden_size, params.dout, params.x, params.weight,
                                              params.residual_gradient, params.dx, scratch) > 1;
  const int64_t num_vectors = hidden_size / kVectorSize<T>;
  if (!is_vectorised || !FitsInRegisters(num_vectors)) {
    StridedBackwardKernel<<<num_blocks, kStridedThreads, 0, stream>>>(params);
  } else if (const BlockShape shape = ShapeFor(num_vectors); shape.vectors_per_thread == 1) {
    BackwardKernel<T, 1><<<num_blocks, shape.num_threads, 0, stream>>>(params);
  } else if (shape.vectors_per_thread == 2) {
    BackwardKernel<T, 2><<<num_blocks, shape.num_threads, 0, stream>>>(params);
  } else {
    BackwardKernel<T, kMaxVectorsPerThread><<<num_blocks, shape.num_threads, 0, stream>>>(params);
  }
  SLUICE_CUDA_CHECK_LAUNCH("LayerNormBackward");
}

}  // namespace

int64_t LayerNormScratchSize(int64_t hidden_size) {
  return int64_t{kMaxBackwardBlocks} * 2 * hidden_size;
}

void LayerNormForward(const LayerNormForwardArgs& args, cudaStream_t stream) {
  SLUICE_CHECK_EQ(args.x.num_elements(), args.mean.num_elements() * args.weight.num_elements());
  SLUICE_CHECK_EQ(args.out.num_elements(), args.x.num_elements());
  DispatchDType(args.x.dtype(), [&](auto element) {
    LaunchForward<typename decltype(element)::type>(args, stream);
  });
}

void LayerNormBackwardRows(const LayerNormBackwardArgs& args, float* scratch, cudaStream_t stream) {
  SLUICE_CHECK_EQ(args.x.num_elements(), args.mean.num_elements() * args.weight.num_elements());
  SLUICE_CHECK_EQ(args.dx.num_elements(), args.x.num_elements());
  SLUICE_CHECK_EQ(args.dout.num_elements(), args.x.num_elements());
  DispatchDType(args.x.dtype(), [&](auto element) {
    LaunchBackward<typename decltype(element)::type>(args, scratch, stream);
  });
}

void LayerNormBackwardSums(const LayerNormBackwardArgs& args, const float* scratch,
                           cudaStream_t stream) {
  SumPartials({.data = scratch,
               .num_partials = static_cast<int>(NumBackwardBlocks(args)),
               .num_columns = 2 * args.weight.num_elements()},
              {.first = args.dweight, .second = args.dbias}, args.write_mode, stream);
}

void LayerNormBackward(const LayerNormBackwardArgs& args, float* scratch, cudaStream_t stream) {
  LayerNormBackwardRows(args, scratch, stream);
  LayerNormBackwardSums(args, scratch, stream);
}

}  // namespace sluice::cuda
