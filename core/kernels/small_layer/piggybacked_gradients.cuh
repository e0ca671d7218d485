// The blocks that make the gradients of piggybacked_gradients.h, for the kernels that run them.
//
// Shapes: M tokens, N output and K input features of a linear layer, H hidden size.  A block makes
// 64 x 64 elements of dweight [N, K] with their 64 of dbias [N], or 32 columns of the gradients of
// a layer norm's weight and bias [H].
#pragma once

#include "core/kernels/cuda/dependent_launch.cuh"
#include "core/kernels/cuda/tile_product.cuh"
#include "core/kernels/small_layer/piggybacked_gradients.h"
#include "core/kernels/small_layer/small_product.cuh"

namespace sluice::cuda {

__device__ inline void StoreSum(float* to, float sum, WriteMode write_mode) {
  *to = write_mode == WriteMode::kAccumulate ? *to + sum : sum;
}

// A gradient in memory, of float or of T.
template <typename T>
__device__ inline void StoreGradient(const ParameterGradient& gradient, int64_t index,
                                     float value) {
  if (gradient.type == GradientType::kFloat32) {
    StoreSum(static_cast<float*>(gradient.data) + index, value, gradient.write_mode);
  } else {
    T* to = static_cast<T*>(gradient.data) + index;
    *to =
        FromFloat<T>(gradient.write_mode == WriteMode::kAccumulate ? ToFloat(*to) + value : value);
  }
}

// Two neighbours, the first at an even index.
template <typename T>
__device__ inline void StoreGradientPair(const ParameterGradient& gradient, int64_t index,
                                         float2 value) {
  const bool accumulates = gradient.write_mode == WriteMode::kAccumulate;
  if (gradient.type == GradientType::kFloat32) {
    auto* to = reinterpret_cast<float2*>(static_cast<float*>(gradient.data) + index);
    const float2 old = accumulates ? *to : float2{0, 0};
    *to = {old.x + value.x, old.y + value.y};
  } else {
    T* to = static_cast<T*>(gradient.data) + index;
    const float2 old = accumulates ? float2{ToFloat(to[0]), ToFloat(to[1])} : float2{0, 0};
    *reinterpret_cast<uint32_t*>(to) = Pack<T>(old.x + value.x, old.y + value.y);
  }
}

// 64 x 64 elements of dweight = dout^T x, and for the first column of tiles 64 of dbias.
template <typename T>
class WeightGradientTile {
 public:
  static constexpr int kSize = 64;
  static constexpr int kTokens = 128;  // in shared memory at a time
  static constexpr int kStride = TileStride(kSize);
  static constexpr int kSharedBytes = 2 * kTokens * kStride * static_cast<int>(sizeof(T));

  __host__ __device__ static int NumTiles(const WeightGradient<T>& g) {
    return g.out_features / kSize * (g.in_features / kSize);
  }

  __device__ WeightGradientTile(const WeightGradient<T>& gradient, int index, unsigned char* memory)
      : g_(gradient),
        first_out_(index / (gradient.in_features / kSize) * kSize),
        first_in_(index % (gradient.in_features / kSize) * kSize),
        dout_(reinterpret_cast<T*>(memory)),
        x_(dout_ + kTokens * kStride) {}

  __device__ void Run() {
    LoadAsync(x_, g_.x + first_in_, g_.in_features, 0);
    WaitForPreviousKernels();
    // Warps are 4 x 2: 16 outputs times 32 inputs each.
    const int warp_out = WarpIndex() / 2 * 16;
    const int warp_in = WarpIndex() % 2 * 32;
    float sums[4][4] = {};
    float bias = 0;
    for (int token = 0; token < g_.num_tokens; token += kTokens) {
      if (token > 0) {
        __syncthreads();
        LoadAsync(x_, g_.x + first_in_, g_.in_features, token);
      }
      LoadAsync(dout_, g_.dout + first_out_, g_.out_features, token);
      WaitForAllCopies();
      __syncthreads();
      const int steps = NumRows(token) / 16;
#pragma unroll 4
      for (int step = 0; step < steps; ++step) {
        uint32_t left[4];
        LoadLeftTransposed(left, dout_ + step * 16 * kStride + warp_out, kStride);
#pragma unroll
        for (int n = 0; n < 4; n += 2) {
          uint32_t right[4];
          LoadRight(right, x_ + step * 16 * kStride + warp_in + n * 8, kStride);
          MultiplyAccumulate<T>(sums[n], left, right[0], right[1]);
          MultiplyAccumulate<T>(sums[n + 1], left, right[2], right[3]);
        }
      }
      if (has_bias()) bias += BiasPart(NumRows(token));
    }
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const int64_t at = int64_t{first_out_ + warp_out + LaneIndex() / 4} * g_.in_features +
                         first_in_ + warp_in + n * 8 + LaneIndex() % 4 * 2;
      StoreGradientPair<T>(g_.dweight, at, {sums[n][0], sums[n][1]});
      StoreGradientPair<T>(g_.dweight, at + 8 * g_.in_features, {sums[n][2], sums[n][3]});
    }
    if (has_bias()) StoreBias(bias);
  }

 private:
  __device__ bool has_bias() const { return first_in_ == 0 && g_.dbias.data != nullptr; }

  // Rows of the tiles for the tokens from `token` on: a multiple of 16, the last ones zero.
  __device__ int NumRows(int token) const {
    return (min(g_.num_tokens - token, kTokens) + 15) / 16 * 16;
  }

  __device__ void LoadAsync(T* tile, const T* from, int num_features, int token) const {
    CopyRowsAsync<8>(
        tile, kStride, {NumRows(token), kSize},
        GlobalRows<T>{from + int64_t{token} * num_features, num_features, g_.num_tokens - token});
  }

  // A thread sums every fourth token of one column.
  __device__ float BiasPart(int num_rows) const {
    float sum = 0;
    const int column = static_cast<int>(threadIdx.x) % kSize;
#pragma unroll 8
    for (int row = static_cast<int>(threadIdx.x) / kSize; row < num_rows; row += 4) {
      sum += ToFloat(dout_[row * kStride + column]);
    }
    return sum;
  }

  __device__ void StoreBias(float part) const {
    auto* parts = reinterpret_cast<float*>(x_);
    __syncthreads();
    parts[threadIdx.x] = part;
    __syncthreads();
    if (threadIdx.x >= kSize) return;
    const float* own = parts + threadIdx.x;
    StoreGradient<T>(g_.dbias, first_out_ + static_cast<int>(threadIdx.x),
                     (own[0] + own[kSize]) + (own[2 * kSize] + own[3 * kSize]));
  }

  const WeightGradient<T>& g_;
  int first_out_;
  int first_in_;
  T* dout_;
  T* x_;
};

// The gradients of 32 columns of a layer norm's weight and bias.  16 groups of threads take every
// 16th token each, a thread two neighbouring columns.
template <typename T>
class NormSumsTile {
 public:
  static constexpr int kColumns = 32;
  static constexpr int kGroups = 16;
  static constexpr int kSharedBytes = kGroups * kColumns * static_cast<int>(sizeof(float2));

  __host__ __device__ static int NumTiles(const NormSums<T>& sums) {
    return sums.hidden_size / kColumns;
  }

  __device__ static void Run(const NormSums<T>& sums, int index, unsigned char* memory) {
    auto* parts = reinterpret_cast<float2(*)[kColumns]>(memory);
    WaitForPreviousKernels();
    SumTokens(sums, index * kColumns, parts);
    __syncthreads();
    if (threadIdx.x >= kColumns) return;
    const int column = static_cast<int>(threadIdx.x);
    float2 sum = {0, 0};
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      sum.x += parts[group][column].x;
      sum.y += parts[group][column].y;
    }
    StoreSum(sums.dweight + index * kColumns + column, sum.x, sums.write_mode);
    StoreSum(sums.dbias + index * kColumns + column, sum.y, sums.write_mode);
  }

 private:
  __device__ static void SumTokens(const NormSums<T>& sums, int first_column,
                                   float2 (*parts)[kColumns]) {
    const int group = static_cast<int>(threadIdx.x) / (kColumns / 2);
    const int column = static_cast<int>(threadIdx.x) % (kColumns / 2) * 2;
    float2 dweight = {0, 0};
    float2 dbias = {0, 0};
#pragma unroll 8
    for (int token = group; token < sums.num_tokens; token += kGroups) {
      const int at = token * sums.hidden_size + first_column + column;
      const float2 dout = LoadPair<T>(sums.dout, at);
      const float2 x = LoadPair<T>(sums.x, at);
      const float mean = sums.mean[token];
      const float rstd = sums.rstd[token];
      dweight.x = fmaf(dout.x, (x.x - mean) * rstd, dweight.x);
      dweight.y = fmaf(dout.y, (x.y - mean) * rstd, dweight.y);
      dbias.x += dout.x;
      dbias.y += dout.y;
    }
    parts[group][column] = {dweight.x, dbias.x};
    parts[group][column + 1] = {dweight.y, dbias.y};
  }
};

template <typename T>
__host__ __device__ inline int NumPiggybackedBlocks(const PiggybackedGradients<T>& extra) {
  int num_blocks = 0;
  for (int i = 0; i < extra.num_weights; ++i) {
    num_blocks += WeightGradientTile<T>::NumTiles(extra.weights[i]);
  }
  return num_blocks + NormSumsTile<T>::NumTiles(extra.norm);
}

template <typename T>
__device__ inline void RunPiggybackedBlock(const PiggybackedGradients<T>& extra, int block,
                                           unsigned char* memory) {
  for (int i = 0; i < extra.num_weights; ++i) {
    const int num_tiles = WeightGradientTile<T>::NumTiles(extra.weights[i]);
    if (block < num_tiles) {
      return WeightGradientTile<T>(extra.weights[i], block, memory).Run();
    }
    block -= num_tiles;
  }
  NormSumsTile<T>::Run(extra.norm, block, memory);
}

template <typename T>
int PiggybackedSharedBytes(const PiggybackedGradients<T>& extra) {
  return extra.num_weights > 0 ? WeightGradientTile<T>::kSharedBytes
                               : NormSumsTile<T>::kSharedBytes;
}

}  // namespace sluice::cuda
