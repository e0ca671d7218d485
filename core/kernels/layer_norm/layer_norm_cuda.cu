#include <algorithm>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/device/cuda/cuda_check.h"
#include "core/kernels/cuda/column_sums.h"
#include "core/kernels/cuda/dependent_launch.cuh"
#include "core/kernels/cuda/element_types.h"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/cuda/vector_access.h"
#include "core/kernels/cuda/vector_io.cuh"
#include "core/kernels/layer_norm/layer_norm_cuda.h"

namespace sluice::cuda {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int kMaxWarps = kMaxThreads / kWarpSize;
constexpr int kStridedThreads = 512;
// The forward: a warp for each token of up to 8 vectors a lane, kTokensOfBlock warps a block; whole
// blocks of 4 vectors a thread for longer ones.
constexpr int kTokensOfBlock = 4;
constexpr int kMaxVectorsOfLane = 8;
constexpr int kVectorsOfThread = 4;
// The backward.
constexpr int kMaxBackwardVectors = 4;
constexpr int kMaxBackwardBlocks = 160;  // at least the multiprocessors of any GPU of today

template <typename T>
struct ForwardParams {
  const T* x;
  const float* weight;
  const float* bias;
  T* out;
  float* mean;
  float* rstd;
  int64_t num_tokens;
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

// A token for each row of threads of the block, kVectors vectors of kSize elements a thread, all in
// registers.  Where a row is one warp no barrier is needed and kThreads is that of the whole block.
template <typename T, int kVectors, int kThreads>
__global__ void __launch_bounds__(kThreads) ForwardKernel(ForwardParams<T> p) {
  constexpr int kSize = kVectorSize<T>;
  __shared__ float shared_sum[kMaxWarps];
  __shared__ float shared_square[kMaxWarps];
  AllowNextKernel();
  WaitForPreviousKernels();
  const int64_t token = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (token >= p.num_tokens) return;
  const int64_t offset = token * p.hidden_size;
  const auto column_of = [](int v) {
    return static_cast<int>(v * blockDim.x + threadIdx.x) * kSize;
  };
  float values[kVectors][kSize];
  float sum = 0;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    if (column_of(v) >= p.hidden_size) continue;
    LoadVector(p.x + offset + column_of(v), values[v]);
  }
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    if (column_of(v) >= p.hidden_size) continue;
#pragma unroll
    for (int i = 0; i < kSize; ++i) sum += values[v][i];
  }
  const float scale = 1.0f / static_cast<float>(p.hidden_size);
  const float mean = BlockSum(sum, shared_sum) * scale;
  float square = 0;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    if (column_of(v) >= p.hidden_size) continue;
#pragma unroll
    for (int i = 0; i < kSize; ++i) square += (values[v][i] - mean) * (values[v][i] - mean);
  }
  const float variance = BlockSum(square, shared_square) * scale;
  const float rstd = rsqrtf(variance + static_cast<float>(kLayerNormEpsilon));
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    if (column_of(v) >= p.hidden_size) continue;
    float weight[kSize];
    float bias[kSize];
    LoadVector(p.weight + column_of(v), weight);
    LoadVector(p.bias + column_of(v), bias);
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      values[v][i] = (values[v][i] - mean) * rstd * weight[i] + bias[i];
    }
    StoreVector(p.out + offset + column_of(v), values[v]);
  }
  if (threadIdx.x == 0) {
    p.mean[token] = mean;
    p.rstd[token] = rstd;
  }
}

// The same for any hidden size and alignment: reads x three times.
template <typename T>
__global__ void __launch_bounds__(kStridedThreads) StridedForwardKernel(ForwardParams<T> p) {
  AllowNextKernel();
  WaitForPreviousKernels();
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

// What the backward reads of one token, as it lies in memory.
template <typename T, int kVectors>
struct BackwardToken {
  uint4 x[kVectors] = {};
  uint4 dout[kVectors] = {};
  uint4 residual_gradient[kVectors] = {};
  float mean = 0;
  float rstd = 0;

  __device__ void Load(const BackwardParams<T>& p, int64_t token) {
    if (token >= p.num_tokens) {
      *this = {};
      return;
    }
    mean = p.mean[token];
    rstd = p.rstd[token];
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int column = static_cast<int>(v * blockDim.x + threadIdx.x) * kVectorSize<T>;
      if (column >= p.hidden_size) continue;
      const int64_t at = token * p.hidden_size + column;
      x[v] = *reinterpret_cast<const uint4*>(p.x + at);
      dout[v] = *reinterpret_cast<const uint4*>(p.dout + at);
      if (p.residual_gradient != nullptr) {
        residual_gradient[v] = *reinterpret_cast<const uint4*>(p.residual_gradient + at);
      }
    }
  }
};

// to[v] = the sum of x[v] over the rows of threads, in their order, by those of the first row.
// `shared` has room for kSize floats a thread.
template <int kSize>
__device__ void StoreSumOverRows(float (&x)[kSize], float* to, float* shared) {
  const int num_threads = static_cast<int>(blockDim.x * blockDim.y);
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  if (blockDim.y > 1) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kSize; ++i) shared[i * num_threads + thread] = x[i];
    __syncthreads();
  }
  if (threadIdx.y != 0 || to == nullptr) return;
  for (int row = 1; row < static_cast<int>(blockDim.y); ++row) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      x[i] += shared[i * num_threads + row * static_cast<int>(blockDim.x) + thread];
    }
  }
  StoreVector(to, x);
}

// The block's share of dweight and dbias from `column` on.
template <typename T, int kSize>
__device__ void StoreShare(const BackwardParams<T>& p, int column, float (&dweight)[kSize],
                           float (&dbias)[kSize], float* shared) {
  const bool is_inside = column < p.hidden_size;
  float* const to = p.partials + static_cast<int64_t>(blockIdx.x) * 2 * p.hidden_size + column;
  StoreSumOverRows(dweight, is_inside ? to : nullptr, shared);
  StoreSumOverRows(dbias, is_inside ? to + p.hidden_size : nullptr, shared);
}

// With g = dout * weight and n = (x - mean) * rstd:
//   dx = rstd * (g - average(g) - n * average(g * n)) + residual_gradient
//
// A token for each row of threads of the block; the next one is read while it is worked on, where
// registers allow.
template <typename T, int kVectors>
__global__ void __launch_bounds__(kMaxThreads) BackwardKernel(BackwardParams<T> p) {
  constexpr int kSize = kVectorSize<T>;
  __shared__ float2 shared[2][kMaxWarps];
  extern __shared__ float shared_rows[];
  AllowNextKernel();
  WaitForPreviousKernels();
  const auto column_of = [](int v) {
    return static_cast<int>(v * blockDim.x + threadIdx.x) * kSize;
  };
  const int warps_of_row = static_cast<int>(blockDim.x) / kWarpSize;
  float dweight[kVectors][kSize] = {};
  float dbias[kVectors][kSize] = {};
  const float scale = 1.0f / static_cast<float>(p.hidden_size);
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.y;
  int64_t first_token = static_cast<int64_t>(blockIdx.x) * blockDim.y;
  constexpr bool kIsReadAhead = kVectors == 1;
  BackwardToken<T, kVectors> next;
  if constexpr (kIsReadAhead) next.Load(p, first_token + threadIdx.y);
  int parity = 0;  // two buffers, so that one barrier a token is enough
  for (; first_token < p.num_tokens; first_token += stride, parity ^= 1) {
    const int64_t token = first_token + threadIdx.y;
    if constexpr (!kIsReadAhead) next.Load(p, token);
    const BackwardToken<T, kVectors> own = next;
    if constexpr (kIsReadAhead) next.Load(p, token + stride);
    float2 sums = {0, 0};
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      if (column_of(v) >= p.hidden_size) continue;
      float x[kSize];
      float dout[kSize];
      float weight[kSize];
      LoadVector(reinterpret_cast<const T*>(&own.x[v]), x);
      LoadVector(reinterpret_cast<const T*>(&own.dout[v]), dout);
      LoadVector(p.weight + column_of(v), weight);
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        const float normalised = (x[i] - own.mean) * own.rstd;
        dweight[v][i] += dout[i] * normalised;
        dbias[v][i] += dout[i];
        sums.x += dout[i] * weight[i];
        sums.y += dout[i] * weight[i] * normalised;
      }
    }
    sums = BlockSum2(sums, shared[parity] + threadIdx.y * warps_of_row);
    if (token >= p.num_tokens) continue;
    const float average_g = sums.x * scale;
    const float average_gn = sums.y * scale;
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      if (column_of(v) >= p.hidden_size) continue;
      float x[kSize];
      float g[kSize];
      float weight[kSize];
      float around[kSize];
      LoadVector(reinterpret_cast<const T*>(&own.x[v]), x);
      LoadVector(reinterpret_cast<const T*>(&own.dout[v]), g);
      LoadVector(reinterpret_cast<const T*>(&own.residual_gradient[v]), around);
      LoadVector(p.weight + column_of(v), weight);
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        const float normalised = (x[i] - own.mean) * own.rstd;
        around[i] += own.rstd * (g[i] * weight[i] - average_g - normalised * average_gn);
      }
      StoreVector(p.dx + token * p.hidden_size + column_of(v), around);
    }
  }
#pragma unroll
  for (int v = 0; v < kVectors; ++v) StoreShare(p, column_of(v), dweight[v], dbias[v], shared_rows);
}

// The same for any hidden size and alignment: a block's share of dweight and dbias is in memory.
template <typename T>
__global__ void __launch_bounds__(kStridedThreads) StridedBackwardKernel(BackwardParams<T> p) {
  __shared__ float2 shared[2][kMaxWarps];
  AllowNextKernel();
  WaitForPreviousKernels();
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

unsigned WholeWarps(int64_t num_threads) {
  return static_cast<unsigned>(RoundUp(num_threads, kWarpSize));
}

// The longest token that ForwardKernel takes.
int64_t MaxForwardVectors() { return int64_t{kMaxThreads} * kVectorsOfThread; }

template <typename T>
void LaunchForward(const LayerNormForwardArgs& args, cudaStream_t stream) {
  const int64_t hidden_size = args.weight.num_elements();
  const ForwardParams<T> params = {.x = args.x.Data<T>(),
                                   .weight = args.weight.Data<float>(),
                                   .bias = args.bias.Data<float>(),
                                   .out = args.out.Data<T>(),
                                   .mean = args.mean.Data<float>(),
                                   .rstd = args.rstd.Data<float>(),
                                   .num_tokens = args.x.num_elements() / hidden_size,
                                   .hidden_size = static_cast<int>(hidden_size)};
  const bool is_vectorised =
      VectorSizeFor<T>(hidden_size, params.x, params.weight, params.bias, params.out) > 1;
  const int64_t num_vectors = hidden_size / kVectorSize<T>;
  const auto num_tokens = static_cast<unsigned>(params.num_tokens);
  constexpr int kWarpThreads = kTokensOfBlock * kWarpSize;
  const LaunchShape warps = {.grid = CeilDiv(num_tokens, kTokensOfBlock),
                             .block = {kWarpSize, kTokensOfBlock}};
  if (!is_vectorised || num_vectors > MaxForwardVectors()) {
    LaunchOverlapped(&StridedForwardKernel<T>, {num_tokens, kStridedThreads}, stream, params);
  } else if (num_vectors <= kWarpSize) {
    LaunchOverlapped(&ForwardKernel<T, 1, kWarpThreads>, warps, stream, params);
  } else if (num_vectors <= 2 * kWarpSize) {
    LaunchOverlapped(&ForwardKernel<T, 2, kWarpThreads>, warps, stream, params);
  } else if (num_vectors <= 4 * kWarpSize) {
    LaunchOverlapped(&ForwardKernel<T, 4, kWarpThreads>, warps, stream, params);
  } else if (num_vectors <= kMaxVectorsOfLane * kWarpSize) {
    LaunchOverlapped(&ForwardKernel<T, kMaxVectorsOfLane, kWarpThreads>, warps, stream, params);
  } else {
    LaunchOverlapped(&ForwardKernel<T, kVectorsOfThread, kMaxThreads>,
                     {num_tokens, WholeWarps(CeilDiv(num_vectors, kVectorsOfThread))}, stream,
                     params);
  }
  SLUICE_CUDA_CHECK_LAUNCH("LayerNormForward");
}

// How the backward is spread over the GPU.
struct BackwardShape {
  int vectors_per_thread = 0;  // 0: the strided kernel
  dim3 block;
  unsigned num_blocks = 0;
};

BackwardShape ShapeOfBackward(const LayerNormBackwardArgs& args) {
  const int64_t hidden_size = args.weight.num_elements();
  const int64_t num_tokens = args.x.num_elements() / hidden_size;
  const int64_t vector_size = kVectorBytes / SizeOf(args.x.dtype());
  const int64_t num_vectors = hidden_size / vector_size;
  const int64_t max_blocks = std::min(NumMultiprocessors(), kMaxBackwardBlocks);
  BackwardShape shape = {.block = kStridedThreads,
                         .num_blocks = static_cast<unsigned>(std::min(num_tokens, max_blocks))};
  const bool is_aligned = hidden_size % vector_size == 0 &&
                          AreVectorAligned(args.x.data(), args.dout.data(), args.weight.data(),
                                           args.residual_gradient.data(), args.dx.data());
  if (!is_aligned || num_vectors > int64_t{kMaxThreads} * kMaxBackwardVectors) return shape;
  shape.vectors_per_thread = 1;
  while (num_vectors > int64_t{kMaxThreads} * shape.vectors_per_thread) {
    shape.vectors_per_thread *= 2;
  }
  const unsigned threads_of_token = WholeWarps(CeilDiv(num_vectors, shape.vectors_per_thread));
  const int64_t tokens_of_block =
      std::min(int64_t{kMaxThreads} / threads_of_token, CeilDiv(num_tokens, max_blocks));
  shape.block = {threads_of_token, static_cast<unsigned>(tokens_of_block)};
  shape.num_blocks =
      static_cast<unsigned>(std::min(CeilDiv(num_tokens, tokens_of_block), max_blocks));
  return shape;
}

template <typename T>
void LaunchBackward(const LayerNormBackwardArgs& args, float* scratch, cudaStream_t stream) {
  const int64_t hidden_size = args.weight.num_elements();
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
                                    .num_tokens = args.x.num_elements() / hidden_size,
                                    .hidden_size = static_cast<int>(hidden_size)};
  const BackwardShape shape = ShapeOfBackward(args);
  const auto launch = [&](auto* kernel) {
    const size_t num_threads = shape.block.x * shape.block.y;
    LaunchOverlapped(
        kernel,
        {.grid = shape.num_blocks,
         .block = shape.block,
         .shared_bytes = shape.block.y > 1 ? num_threads * kVectorSize<T> * sizeof(float) : 0},
        stream, params);
  };
  switch (shape.vectors_per_thread) {
    case 0:
      launch(&StridedBackwardKernel<T>);
      break;
    case 1:
      launch(&BackwardKernel<T, 1>);
      break;
    case 2:
      launch(&BackwardKernel<T, 2>);
      break;
    default:
      launch(&BackwardKernel<T, kMaxBackwardVectors>);
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
               .num_partials = static_cast<int>(ShapeOfBackward(args).num_blocks),
               .num_columns = 2 * args.weight.num_elements()},
              {.first = args.dweight, .second = args.dbias}, args.write_mode, stream);
}

void LayerNormBackward(const LayerNormBackwardArgs& args, float* scratch, cudaStream_t stream) {
  LayerNormBackwardRows(args, scratch, stream);
  LayerNormBackwardSums(args, scratch, stream);
}

}  // namespace sluice::cuda
