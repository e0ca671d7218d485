// The kernel of small_linear.h; included by one .cu file per element type.
//
// Operands are held as the tensor cores want them (tensor_core.cuh), with one liberty: the sum over
// K may be taken in any order, if both operands take the same.  Lane 4 g + t holds the 8 neighbours
// from 8 t on of each 32 of K, so that a row's part is one 16-byte load: of each 4 neighbours, the
// first pair stands for k 2 t, 2 t + 1 of a step of 16, the second for those 8 further.
#pragma once

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/kernels/cuda/dependent_launch.cuh"
#include "core/kernels/cuda/device_math.cuh"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/cuda/tensor_core.cuh"
#include "core/kernels/cuda/vector_io.cuh"
#include "core/kernels/layer_norm/layer_norm.h"
#include "core/kernels/small_linear/small_linear_params.h"

namespace sluice::cuda {

inline constexpr int kBlockTokens = 16;
inline constexpr int kBlockWarps = 8;
inline constexpr int kBlockThreads = kBlockWarps * kWarpSize;
// Of K: what a quad of lanes loads of a row in one access each.
inline constexpr int kChunkSize = 32;
inline constexpr int kLaneElements = 8;

// How the warps of a block share its product: each sums one of kInputParts parts of K, up to
// kChunks chunks, for kOutputTiles tiles of 8 columns.
template <int kInputPartsValue, int kOutputTilesValue, int kChunksValue>
struct WarpSplit {
  static constexpr int kInputParts = kInputPartsValue;
  static constexpr int kOutputTiles = kOutputTilesValue;
  static constexpr int kChunks = kChunksValue;
  static constexpr int kColumns = 8 * kOutputTiles * (kBlockWarps / kInputParts);
  static constexpr int kPartialStride = kColumns + 8;  // for the banks
};

// Where a lane stands: its part of K, its first column in the block, and its quad.
template <typename Split>
struct LanePlace {
  int input_part = static_cast<int>(threadIdx.x) / kWarpSize % Split::kInputParts;
  int output_part = static_cast<int>(threadIdx.x) / kWarpSize / Split::kInputParts;
  int g = static_cast<int>(threadIdx.x) % kWarpSize / 4;
  int t = static_cast<int>(threadIdx.x) % 4;

  // Of this lane's elements of its i-th chunk; at or beyond num_inputs where there is none.
  __device__ int Input(int i) const {
    return (input_part + i * Split::kInputParts) * kChunkSize + t * kLaneElements;
  }
};

template <typename T>
__device__ inline uint4 Load16(const void* base, int64_t offset) {
  return *reinterpret_cast<const uint4*>(static_cast<const T*>(base) + offset);
}

// Rows g and g + 8 of a block's tokens: this lane's elements, packed in pairs.
template <typename Split>
struct TokenFragment {
  uint32_t low[Split::kChunks][4];
  uint32_t high[Split::kChunks][4];
};

template <typename T, typename Split>
__device__ inline void LoadTokens(TokenFragment<Split>& x, const SmallLinearParams& p,
                                  const LanePlace<Split>& lane, int first_token) {
#pragma unroll
  for (int i = 0; i < Split::kChunks; ++i) {
    const int input = lane.Input(i);
    const auto load = [&](uint32_t(&to)[4], int token) {
      const bool valid = input < p.num_inputs && token < p.num_tokens;
      const uint4 from =
          valid ? Load16<T>(p.x, int64_t{token} * p.num_inputs + input) : uint4{0, 0, 0, 0};
      to[0] = from.x;
      to[1] = from.y;
      to[2] = from.z;
      to[3] = from.w;
    };
    load(x.low[i], first_token + lane.g);
    load(x.high[i], first_token + lane.g + 8);
  }
}

template <typename T>
__device__ inline void Unpack(float (&values)[kLaneElements], const uint32_t (&packed)[4]) {
#pragma unroll
  for (int i = 0; i < kLaneElements; ++i) {
    values[i] = ToFloat(reinterpret_cast<const T*>(packed)[i]);
  }
}

// Mean of a part of a row, and the sum of the squared distances to it.
struct PartStatistics {
  float mean;
  float squares;
};

// Of the parts' statistics of a row, those of the whole row (Chan, Golub, LeVeque: Updating
// formulae and a pairwise algorithm for computing sample variances).
struct RowStatistics {
  float mean;
  float rstd;
};
template <typename Split>
__device__ inline RowStatistics MergeParts(const PartStatistics* parts, int row, int num_inputs) {
  const int num_chunks = num_inputs / kChunkSize;
  const float scale = 1.0f / static_cast<float>(num_inputs);
  const auto size = [&](int part) {
    const int chunks = (num_chunks - part + Split::kInputParts - 1) / Split::kInputParts;
    return static_cast<float>(chunks * kChunkSize);
  };
  float mean = 0;
#pragma unroll
  for (int part = 0; part < Split::kInputParts; ++part) {
    mean += size(part) * parts[part * kBlockTokens + row].mean;
  }
  mean *= scale;
  float squares = 0;
#pragma unroll
  for (int part = 0; part < Split::kInputParts; ++part) {
    const PartStatistics& s = parts[part * kBlockTokens + row];
    squares += s.squares + size(part) * (s.mean - mean) * (s.mean - mean);
  }
  return {mean, rsqrtf(squares * scale + static_cast<float>(kLayerNormEpsilon))};
}

// The layer norm in front: turns tokens into normalised ones, in place.
template <typename T, typename Split>
struct NormPrologue {
  float weight[Split::kChunks][kLaneElements];
  float bias[Split::kChunks][kLaneElements];

  __device__ void LoadParameters(const SmallLinearParams& p, const LanePlace<Split>& lane) {
#pragma unroll
    for (int i = 0; i < Split::kChunks; ++i) {
      if (lane.Input(i) >= p.num_inputs) continue;
      LoadVector(p.norm_weight + lane.Input(i), weight[i]);
      LoadVector(p.norm_bias + lane.Input(i), bias[i]);
    }
  }

  // The quad's part of a row.
  __device__ static PartStatistics OfPart(const uint32_t (&row)[Split::kChunks][4],
                                          const LanePlace<Split>& lane, int num_inputs) {
    float values[kLaneElements];
    float sum = 0;
    int count = 0;
#pragma unroll
    for (int i = 0; i < Split::kChunks; ++i) {
      if (lane.Input(i) >= num_inputs) continue;
      count += kChunkSize;
      Unpack<T>(values, row[i]);
#pragma unroll
      for (int j = 0; j < kLaneElements; ++j) sum += values[j];
    }
    const float mean = count > 0 ? GroupSum<4>(sum) / static_cast<float>(count) : 0.0f;
    float squares = 0;
#pragma unroll
    for (int i = 0; i < Split::kChunks; ++i) {
      if (lane.Input(i) >= num_inputs) continue;
      Unpack<T>(values, row[i]);
#pragma unroll
      for (int j = 0; j < kLaneElements; ++j) squares += (values[j] - mean) * (values[j] - mean);
    }
    return {mean, GroupSum<4>(squares)};
  }

  __device__ void Normalise(uint32_t (&row)[Split::kChunks][4], const RowStatistics& s,
                            const LanePlace<Split>& lane, int num_inputs) const {
#pragma unroll
    for (int i = 0; i < Split::kChunks; ++i) {
      if (lane.Input(i) >= num_inputs) continue;
      float values[kLaneElements];
      Unpack<T>(values, row[i]);
#pragma unroll
      for (int j = 0; j < kLaneElements; ++j) {
        values[j] = (values[j] - s.mean) * s.rstd * weight[i][j] + bias[i][j];
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) row[i][j] = Pack<T>(values[2 * j], values[2 * j + 1]);
    }
  }

  // Of each token, one block writes what the norm leaves.
  __device__ static void Store(const uint32_t (&row)[Split::kChunks][4], const RowStatistics& s,
                               const SmallLinearParams& p, const LanePlace<Split>& lane,
                               int token) {
    const bool is_mine = token % gridDim.x == blockIdx.x && lane.output_part == 0;
    if (!is_mine || token >= p.num_tokens) return;
#pragma unroll
    for (int i = 0; i < Split::kChunks; ++i) {
      if (lane.Input(i) >= p.num_inputs) continue;
      T* to = static_cast<T*>(p.norm_out) + int64_t{token} * p.num_inputs + lane.Input(i);
      *reinterpret_cast<uint4*>(to) = uint4{row[i][0], row[i][1], row[i][2], row[i][3]};
    }
    if (lane.input_part == 0 && lane.t == 0) {
      p.mean[token] = s.mean;
      p.rstd[token] = s.rstd;
    }
  }

  // All threads call; `parts` has room for kInputParts * kBlockTokens.
  __device__ void Run(TokenFragment<Split>& x, PartStatistics* parts, const SmallLinearParams& p,
                      const LanePlace<Split>& lane, int first_token) const {
    const PartStatistics low = OfPart(x.low, lane, p.num_inputs);
    const PartStatistics high = OfPart(x.high, lane, p.num_inputs);
    if (lane.t == 0 && lane.output_part == 0) {
      parts[lane.input_part * kBlockTokens + lane.g] = low;
      parts[lane.input_part * kBlockTokens + lane.g + 8] = high;
    }
    __syncthreads();
    const RowStatistics low_row = MergeParts<Split>(parts, lane.g, p.num_inputs);
    const RowStatistics high_row = MergeParts<Split>(parts, lane.g + 8, p.num_inputs);
    Normalise(x.low, low_row, lane, p.num_inputs);
    Normalise(x.high, high_row, lane, p.num_inputs);
    Store(x.low, low_row, p, lane, first_token + lane.g);
    Store(x.high, high_row, p, lane, first_token + lane.g + 8);
  }
};

// This lane's elements of the weights of its columns.
template <typename Split>
struct WeightFragment {
  uint32_t values[Split::kOutputTiles][Split::kChunks][4];

  template <typename T>
  __device__ void Load(const SmallLinearParams& p, const LanePlace<Split>& lane) {
#pragma unroll
    for (int tile = 0; tile < Split::kOutputTiles; ++tile) {
      const int output = static_cast<int>(blockIdx.x) * Split::kColumns +
                         (lane.output_part * Split::kOutputTiles + tile) * 8 + lane.g;
#pragma unroll
      for (int i = 0; i < Split::kChunks; ++i) {
        const int input = lane.Input(i);
        const uint4 from = input < p.num_inputs
                               ? Load16<T>(p.weight, int64_t{output} * p.num_inputs + input)
                               : uint4{0, 0, 0, 0};
        values[tile][i][0] = from.x;
        values[tile][i][1] = from.y;
        values[tile][i][2] = from.z;
        values[tile][i][3] = from.w;
      }
    }
  }
};

// This warp's part of the product, to `partials` [kInputParts, kBlockTokens, kPartialStride].
template <typename T, typename Split>
__device__ inline void MultiplyPart(const TokenFragment<Split>& x, const WeightFragment<Split>& w,
                                    const LanePlace<Split>& lane, float* partials) {
  float sums[Split::kOutputTiles][4] = {};
#pragma unroll
  for (int i = 0; i < Split::kChunks; ++i) {
#pragma unroll
    for (int step = 0; step < 4; step += 2) {
      const uint32_t a[4] = {x.low[i][step], x.high[i][step], x.low[i][step + 1],
                             x.high[i][step + 1]};
#pragma unroll
      for (int tile = 0; tile < Split::kOutputTiles; ++tile) {
        MultiplyAccumulate<T>(sums[tile], a, w.values[tile][i][step], w.values[tile][i][step + 1]);
      }
    }
  }
  float* low = partials + (lane.input_part * kBlockTokens + lane.g) * Split::kPartialStride +
               lane.output_part * Split::kOutputTiles * 8 + 2 * lane.t;
  float* high = low + 8 * Split::kPartialStride;
#pragma unroll
  for (int tile = 0; tile < Split::kOutputTiles; ++tile) {
    *reinterpret_cast<float2*>(low + 8 * tile) = float2{sums[tile][0], sums[tile][1]};
    *reinterpret_cast<float2*>(high + 8 * tile) = float2{sums[tile][2], sums[tile][3]};
  }
}

template <typename T>
__device__ inline float2 LoadPair(const void* base, int64_t offset) {
  const uint32_t packed = *reinterpret_cast<const uint32_t*>(static_cast<const T*>(base) + offset);
  const T* values = reinterpret_cast<const T*>(&packed);
  return {ToFloat(values[0]), ToFloat(values[1])};
}

// What a thread finishes: pairs of neighbouring columns.
template <typename T, typename Split>
struct Epilogue {
  static constexpr int kPairsPerRow = Split::kColumns / 2;
  static constexpr int kPairs = kBlockTokens * kPairsPerRow;
  static constexpr int kPairsPerThread = (kPairs + kBlockThreads - 1) / kBlockThreads;

  float2 bias[kPairsPerThread];
  float2 residual[kPairsPerThread];

  __device__ static bool IsValid(int i, int first_token, int num_tokens) {
    return Pair(i) < kPairs && first_token + Row(i) < num_tokens;
  }
  __device__ static int Pair(int i) { return static_cast<int>(threadIdx.x) + i * kBlockThreads; }
  __device__ static int Row(int i) { return Pair(i) / kPairsPerRow; }
  __device__ static int Column(int i) { return Pair(i) % kPairsPerRow * 2; }
  __device__ static int Output(int i) {
    return static_cast<int>(blockIdx.x) * Split::kColumns + Column(i);
  }

  __device__ void LoadBias(const SmallLinearParams& p) {
#pragma unroll
    for (int i = 0; i < kPairsPerThread; ++i) {
      bias[i] = p.bias != nullptr && Pair(i) < kPairs ? LoadPair<T>(p.bias, Output(i)) : float2{};
    }
  }
  __device__ void LoadResidual(const SmallLinearParams& p, int first_token) {
#pragma unroll
    for (int i = 0; i < kPairsPerThread; ++i) {
      const bool valid = p.residual != nullptr && IsValid(i, first_token, p.num_tokens);
      const int64_t token = first_token + Row(i);
      residual[i] =
          valid ? LoadPair<T>(p.residual, token * p.num_outputs + Output(i)) : float2{0, 0};
    }
  }

  __device__ void Store(const float* partials, const SmallLinearParams& p, int first_token) const {
#pragma unroll
    for (int i = 0; i < kPairsPerThread; ++i) {
      if (!IsValid(i, first_token, p.num_tokens)) continue;
      float2 sum = {0, 0};
#pragma unroll
      for (int part = 0; part < Split::kInputParts; ++part) {
        const float2 x = *reinterpret_cast<const float2*>(
            partials + (part * kBlockTokens + Row(i)) * Split::kPartialStride + Column(i));
        sum.x += x.x;
        sum.y += x.y;
      }
      sum.x += bias[i].x + residual[i].x;
      sum.y += bias[i].y + residual[i].y;
      if (p.activation == Activation::kRelu) sum = {fmaxf(sum.x, 0), fmaxf(sum.y, 0)};
      const int64_t token = first_token + Row(i);
      T* to = static_cast<T*>(p.out) + token * p.num_outputs + Output(i);
      *reinterpret_cast<uint32_t*>(to) = Pack<T>(sum.x, sum.y);
    }
  }
};

template <typename Split>
struct SmallLinearMemory {
  float partials[Split::kInputParts * kBlockTokens * Split::kPartialStride];
  PartStatistics parts[Split::kInputParts * kBlockTokens];
};

enum class Prologue : uint8_t { kNone, kNorm };

// Block (i, j): columns from i kColumns on of tokens from j kBlockTokens on.
template <typename T, typename Split, Prologue kPrologue>
__global__ void __launch_bounds__(kBlockThreads)
    SmallLinearKernel(const __grid_constant__ SmallLinearParams p) {
  extern __shared__ __align__(16) unsigned char memory[];
  auto& shared = *reinterpret_cast<SmallLinearMemory<Split>*>(memory);
  const int first_token = static_cast<int>(blockIdx.y) * kBlockTokens;
  const LanePlace<Split> lane;

  AllowNextKernel();
  WeightFragment<Split> weights;
  weights.template Load<T>(p, lane);
  Epilogue<T, Split> epilogue;
  epilogue.LoadBias(p);
  NormPrologue<T, Split> norm;
  if constexpr (kPrologue == Prologue::kNorm) norm.LoadParameters(p, lane);

  WaitForPreviousKernels();
  TokenFragment<Split> x;
  LoadTokens<T>(x, p, lane, first_token);
  epilogue.LoadResidual(p, first_token);
  if constexpr (kPrologue == Prologue::kNorm) norm.Run(x, shared.parts, p, lane, first_token);
  MultiplyPart<T>(x, weights, lane, shared.partials);
  __syncthreads();
  epilogue.Store(shared.partials, p, first_token);
}

template <typename T, typename Split>
void LaunchSplit(const SmallLinearParams& params, cudaStream_t stream) {
  const LaunchShape shape = {
      .grid = dim3(static_cast<unsigned>(params.num_outputs / Split::kColumns),
                   static_cast<unsigned>(CeilDiv(params.num_tokens, kBlockTokens))),
      .block = dim3(kBlockThreads),
      .shared_bytes = sizeof(SmallLinearMemory<Split>)};
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

}  // namespace sluice::cuda
