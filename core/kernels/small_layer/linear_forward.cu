// The kernel of linear_forward.h.
//
// Shapes: M tokens, K inputs, N outputs; x [M, K], weight [N, K], out [M, N].

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/kernels/cuda/dependent_launch.cuh"
#include "core/kernels/cuda/device_math.cuh"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/cuda/vector_io.cuh"
#include "core/kernels/layer_norm/layer_norm.h"
#include "core/kernels/small_layer/linear_forward_params.h"
#include "core/kernels/small_layer/small_product.cuh"

namespace sluice::cuda {

// The layer norm in front: turns tokens into normalised ones.
template <typename T, typename Split>
struct NormPrologue {
  float weight[Split::kChunks][kLaneElements];
  float bias[Split::kChunks][kLaneElements];

  // Sums of the warps' parts of each row.
  struct Memory {
    float sums[kBlockTokens][Split::kInputParts];
    float squares[kBlockTokens][Split::kInputParts];
  };

  // A row in float32.
  struct Row {
    float values[Split::kChunks][kLaneElements];
    float mean;
    float rstd;
  };

  __device__ void LoadParameters(const SmallLinearParams& p, const LanePlace<Split>& lane) {
    const int num_chunks = lane.NumChunks(p.num_inputs);
#pragma unroll
    for (int i = 0; i < Split::kChunks; ++i) {
      if (i >= num_chunks) break;
      LoadVector(p.norm_weight + lane.FirstInput() + i * lane.kChunkStride, weight[i]);
      LoadVector(p.norm_bias + lane.FirstInput() + i * lane.kChunkStride, bias[i]);
    }
  }

  __device__ static float SumOfParts(const float (&parts)[Split::kInputParts]) {
    float values[Split::kInputParts];
    LoadVector(parts, values);
    float sum = 0;
#pragma unroll
    for (int part = 0; part < Split::kInputParts; ++part) sum += values[part];
    return sum;
  }

  __device__ static float Unpack(Row& row, const uint32_t (&packed)[Split::kChunks][4],
                                 int num_chunks) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < Split::kChunks; ++i) {
      if (i >= num_chunks) break;
#pragma unroll
      for (int j = 0; j < kLaneElements; ++j) {
        row.values[i][j] = ToFloat(reinterpret_cast<const T*>(packed[i])[j]);
        sum += row.values[i][j];
      }
    }
    return GroupSum<4>(sum);
  }

  // Takes the mean off the row and returns the sum of squares.
  __device__ static float Centre(Row& row, int num_chunks) {
    float squares = 0;
#pragma unroll
    for (int i = 0; i < Split::kChunks; ++i) {
      if (i >= num_chunks) break;
#pragma unroll
      for (int j = 0; j < kLaneElements; ++j) {
        row.values[i][j] -= row.mean;
        squares = fmaf(row.values[i][j], row.values[i][j], squares);
      }
    }
    return GroupSum<4>(squares);
  }

  __device__ void Scale(uint32_t (&packed)[Split::kChunks][4], const Row& row,
                        int num_chunks) const {
#pragma unroll
    for (int i = 0; i < Split::kChunks; ++i) {
      if (i >= num_chunks) break;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const auto scaled = [&](int k) {
          return fmaf(row.values[i][k] * row.rstd, weight[i][k], bias[i][k]);
        };
        packed[i][j] = Pack<T>(scaled(2 * j), scaled(2 * j + 1));
      }
    }
  }

  // One block writes the results of the norm for each token.
  __device__ static void Store(const uint32_t (&packed)[Split::kChunks][4], const Row& row,
                               const SmallLinearParams& p, const LanePlace<Split>& lane,
                               int token) {
    const int writer = gridDim.x >= kBlockTokens ? token % kBlockTokens : 0;
    if (static_cast<int>(blockIdx.x) != writer || lane.output_part != 0) return;
    if (token >= p.num_tokens) return;
    T* to = static_cast<T*>(p.norm_out) + token * p.num_inputs + lane.FirstInput();
    const int num_chunks = lane.NumChunks(p.num_inputs);
#pragma unroll
    for (int i = 0; i < Split::kChunks; ++i) {
      if (i >= num_chunks) break;
      *reinterpret_cast<uint4*>(to + i * lane.kChunkStride) =
          uint4{packed[i][0], packed[i][1], packed[i][2], packed[i][3]};
    }
    if (lane.input_part == 0 && lane.t == 0) {
      p.mean[token] = row.mean;
      p.rstd[token] = row.rstd;
    }
  }

  // All threads call.
  __device__ void Run(TokenFragment<Split>& x, Memory& shared, const SmallLinearParams& p,
                      const LanePlace<Split>& lane, int first_token) const {
    const int num_chunks = lane.NumChunks(p.num_inputs);
    const bool shares = lane.t == 0 && lane.output_part == 0;
    Row low;
    Row high;
    const float low_sum = Unpack(low, x.low, num_chunks);
    const float high_sum = Unpack(high, x.high, num_chunks);
    if (shares) {
      shared.sums[lane.g][lane.input_part] = low_sum;
      shared.sums[lane.g + 8][lane.input_part] = high_sum;
    }
    __syncthreads();
    low.mean = SumOfParts(shared.sums[lane.g]) * p.norm_scale;
    high.mean = SumOfParts(shared.sums[lane.g + 8]) * p.norm_scale;
    const float low_squares = Centre(low, num_chunks);
    const float high_squares = Centre(high, num_chunks);
    if (shares) {
      shared.squares[lane.g][lane.input_part] = low_squares;
      shared.squares[lane.g + 8][lane.input_part] = high_squares;
    }
    __syncthreads();
    constexpr auto kEpsilon = static_cast<float>(kLayerNormEpsilon);
    low.rstd = rsqrtf(fmaf(SumOfParts(shared.squares[lane.g]), p.norm_scale, kEpsilon));
    high.rstd = rsqrtf(fmaf(SumOfParts(shared.squares[lane.g + 8]), p.norm_scale, kEpsilon));
    Scale(x.low, low, num_chunks);
    Scale(x.high, high, num_chunks);
    Store(x.low, low, p, lane, first_token + lane.g);
    Store(x.high, high, p, lane, first_token + lane.g + 8);
  }
};

// What a thread finishes: pairs of neighbouring columns.
template <typename T, typename Split>
struct Epilogue {
  using Pairs = OutputPairs<Split>;
  static constexpr int kPairsPerThread = Pairs::kPairsPerThread;

  float2 bias[kPairsPerThread];
  float2 residual[kPairsPerThread];

  __device__ static int Output(int i) {
    return static_cast<int>(blockIdx.x) * Split::kColumns + Pairs::Column(i);
  }

  __device__ void LoadBias(const SmallLinearParams& p) {
#pragma unroll
    for (int i = 0; i < kPairsPerThread; ++i) {
      bias[i] = p.bias != nullptr && Pairs::Exists(i) ? LoadPair<T>(p.bias, Output(i)) : float2{};
    }
  }
  __device__ void LoadResidual(const SmallLinearParams& p, int first_token) {
#pragma unroll
    for (int i = 0; i < kPairsPerThread; ++i) {
      const bool valid =
          p.residual != nullptr && Pairs::Exists(i) && first_token + Pairs::Row(i) < p.num_tokens;
      const int offset = (first_token + Pairs::Row(i)) * p.num_outputs + Output(i);
      residual[i] = valid ? LoadPair<T>(p.residual, offset) : float2{0, 0};
    }
  }

  __device__ void Store(const float* partials, const SmallLinearParams& p, int first_token) const {
#pragma unroll
    for (int i = 0; i < kPairsPerThread; ++i) {
      if (!(Pairs::Exists(i) && first_token + Pairs::Row(i) < p.num_tokens)) continue;
      float2 sum = Pairs::Sum(i, partials);
      sum.x += bias[i].x + residual[i].x;
      sum.y += bias[i].y + residual[i].y;
      if (p.activation == Activation::kRelu) sum = {fmaxf(sum.x, 0), fmaxf(sum.y, 0)};
      T* to = static_cast<T*>(p.out) + (first_token + Pairs::Row(i)) * p.num_outputs + Output(i);
      *reinterpret_cast<uint32_t*>(to) = Pack<T>(sum.x, sum.y);
    }
  }
};

template <typename T, typename Split>
using SmallLinearMemory = ProductMemory<Split, NormPrologue<T, Split>>;

// Block (i, j): columns from i kColumns on of tokens from j kBlockTokens on.
template <typename T, typename Split, Prologue kPrologue>
__global__ void __launch_bounds__(kBlockThreads)
    SmallLinearKernel(const __grid_constant__ SmallLinearParams p) {
  extern __shared__ __align__(16) unsigned char memory[];
  auto& shared = *reinterpret_cast<SmallLinearMemory<T, Split>*>(memory);
  const int first_token = static_cast<int>(blockIdx.y) * kBlockTokens;
  const LanePlace<Split> lane;

  AllowNextKernel();
  WeightFragment<Split, WeightLayout::kOutputsByInputs> weights;
  weights.Load(
      static_cast<const T*>(p.weight), p, lane,
      static_cast<int>(blockIdx.x) * Split::kColumns + lane.output_part * Split::kOutputTiles * 8);
  Epilogue<T, Split> epilogue;
  epilogue.LoadBias(p);
  NormPrologue<T, Split> norm;
  if constexpr (kPrologue == Prologue::kNorm) norm.LoadParameters(p, lane);

  WaitForPreviousKernels();
  TokenFragment<Split> x;
  x.Load(static_cast<const T*>(p.x), p, lane, first_token);
  epilogue.LoadResidual(p, first_token);
  if constexpr (kPrologue == Prologue::kNorm) norm.Run(x, shared.norm, p, lane, first_token);
  MultiplyPart<T>(x, weights, lane, lane.NumChunks(p.num_inputs), shared.partials);
  __syncthreads();
  epilogue.Store(shared.partials, p, first_token);
}

template <typename T, typename Split>
void LaunchSplit(const SmallLinearParams& params, cudaStream_t stream) {
  const LaunchShape shape = {
      .grid = dim3(static_cast<unsigned>(params.num_outputs / Split::kColumns),
                   static_cast<unsigned>(CeilDiv(params.num_tokens, kBlockTokens))),
      .block = dim3(kBlockThreads),
      .shared_bytes = sizeof(SmallLinearMemory<T, Split>)};
  if (params.norm_weight == nullptr) {
    LaunchOverlapped(SmallLinearKernel<T, Split, Prologue::kNone>, shape, stream, params);
  } else if constexpr (Split::kChunks <= 4) {
    LaunchOverlapped(SmallLinearKernel<T, Split, Prologue::kNorm>, shape, stream, params);
  } else {
    SLUICE_CHECK(false);  // CanRunSmallNormLinear
  }
  SLUICE_CUDA_CHECK_LAUNCH("SmallLinear");
}

template <typename T, int kInputParts, int kOutputTiles>
void LaunchTile(const SmallLinearParams& params, cudaStream_t stream) {
  const int64_t chunks = CeilDiv(params.num_inputs, kInputParts * kChunkSize);
  if (chunks <= 1) return LaunchSplit<T, WarpSplit<kInputParts, kOutputTiles, 1>>(params, stream);
  if (chunks <= 2) return LaunchSplit<T, WarpSplit<kInputParts, kOutputTiles, 2>>(params, stream);
  if (chunks <= 4) return LaunchSplit<T, WarpSplit<kInputParts, kOutputTiles, 4>>(params, stream);
  SLUICE_CHECK_LE(chunks, 8);  // CanRunSmallLinear
  return LaunchSplit<T, WarpSplit<kInputParts, kOutputTiles, 8>>(params, stream);
}

template <typename T>
void LaunchSmallLinear(const SmallLinearParams& params, SmallLinearTile tile, cudaStream_t stream) {
  switch (tile) {
    case SmallLinearTile::k16:
      return LaunchTile<T, 8, 2>(params, stream);
    case SmallLinearTile::k32:
      return LaunchTile<T, 8, 4>(params, stream);
    case SmallLinearTile::k64:
      return LaunchTile<T, 4, 4>(params, stream);
  }
}

template void LaunchSmallLinear<__nv_bfloat16>(const SmallLinearParams&, SmallLinearTile,
                                               cudaStream_t);
template void LaunchSmallLinear<__half>(const SmallLinearParams&, SmallLinearTile, cudaStream_t);

}  // namespace sluice::cuda
