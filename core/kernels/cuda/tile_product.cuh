// Products of small tiles in shared memory on the tensor cores (mma.sync m16n8k16), and the
// asynchronous copies that fill the tiles.
//
// T is __nv_bfloat16 or __half.  A tile is row-major, and its rows are padded by 16 bytes
// (TileStride), so that ldmatrix has no bank conflicts.  All functions are called by whole warps.
//
// If the warps of a block split the inner dimension of a product of 16 rows, PartialSums adds what
// they have in their registers, in shared memory.
#pragma once

#include <cstdint>

#include "core/kernels/cuda/async_copy.cuh"
#include "core/kernels/cuda/device_math.cuh"
#include "core/kernels/cuda/tensor_core.cuh"

namespace sluice::cuda {

inline constexpr int kTileThreads = 256;
inline constexpr int kTileWarps = kTileThreads / 32;
inline constexpr int kTileRows = 16;

// Elements from one row to the next of a tile of 16-bit elements, and of float partial sums.
__host__ __device__ constexpr int TileStride(int num_columns) { return num_columns + 8; }

__device__ inline int LaneIndex() { return static_cast<int>(threadIdx.x) % 32; }
__device__ inline int WarpIndex() { return static_cast<int>(threadIdx.x) / 32; }

// Returns when all copies of this thread have arrived.  Other threads see them after a barrier.
__device__ inline void WaitForAllCopies() {
  CommitCopies();
  WaitForCopies<0>();
}

// Where the rows of a tile come from.  Rows from num_rows on are zero.
template <typename T>
struct GlobalRows {
  const T* from;
  int64_t row_stride;  // elements
  int num_rows;
};
struct TileExtent {
  int num_rows;
  int num_columns;  // a multiple of 8
};

// Starts the copy of a tile, whose rows are `stride` elements apart, by all kTileThreads threads of
// the block.  kLanes neighbouring threads copy a row, 8 elements each at a time.
template <int kLanes, typename T>
__device__ inline void CopyRowsAsync(T* tile, int stride, const TileExtent& extent,
                                     const GlobalRows<T>& source) {
  const int first_column = static_cast<int>(threadIdx.x) % kLanes * 8;
#pragma unroll 4
  for (int row = static_cast<int>(threadIdx.x) / kLanes; row < extent.num_rows;
       row += kTileThreads / kLanes) {
    const bool valid = row < source.num_rows;
    const T* from = source.from + (valid ? row * source.row_stride : 0);
    for (int column = first_column; column < extent.num_columns; column += kLanes * 8) {
      CopyAsync(SharedAddress(tile + row * stride + column), from + column, valid);
    }
  }
}

// The left operand of a step, 16 rows of 16, from a tile [m][k] or [k][m].
template <typename T>
__device__ inline void LoadLeft(uint32_t (&a)[4], const T* tile, int stride) {
  LoadMatrices(a, SharedAddress(tile + LaneIndex() % 16 * stride + LaneIndex() / 16 * 8));
}
template <typename T>
__device__ inline void LoadLeftTransposed(uint32_t (&a)[4], const T* tile, int stride) {
  LoadMatricesTransposed(a, SharedAddress(tile + (LaneIndex() / 16 * 8 + LaneIndex() % 8) * stride +
                                          LaneIndex() / 8 % 2 * 8));
}

// The right operand of a step, 16 of k times 16 columns (registers 0, 1: columns 0 .. 7), from a
// tile [k][n] or [n][k].
template <typename T>
__device__ inline void LoadRight(uint32_t (&b)[4], const T* tile, int stride) {
  LoadMatricesTransposed(b, SharedAddress(tile + LaneIndex() % 16 * stride + LaneIndex() / 16 * 8));
}
template <typename T>
__device__ inline void LoadRightTransposed(uint32_t (&b)[4], const T* tile, int stride) {
  LoadMatrices(b, SharedAddress(tile + (LaneIndex() / 16 * 8 + LaneIndex() % 8) * stride +
                                LaneIndex() / 8 % 2 * 8));
}

// [num_warps, 16, num_columns] in shared memory: what each warp's part of a product adds up to.
class PartialSums {
 public:
  __device__ PartialSums(float* memory, int num_columns)
      : memory_(memory), stride_(TileStride(num_columns)) {}

  __host__ __device__ static constexpr int SizeBytes(int num_columns) {
    return kTileWarps * kTileRows * TileStride(num_columns) * static_cast<int>(sizeof(float));
  }

  // Columns [first_column, first_column + 8) of this warp's part.
  __device__ void Store(int first_column, const float (&d)[4]) {
    float* to = memory_ + (WarpIndex() * kTileRows + LaneIndex() / 4) * stride_ + first_column +
                LaneIndex() % 4 * 2;
    *reinterpret_cast<float2*>(to) = {d[0], d[1]};
    *reinterpret_cast<float2*>(to + 8 * stride_) = {d[2], d[3]};
  }

  // The sum over the first num_warps warps at two neighbouring elements, after a barrier.
  __device__ float2 Sum(int row, int column, int num_warps = kTileWarps) const {
    float2 sum = {0, 0};
    const float* from = memory_ + row * stride_ + column;
#pragma unroll
    for (int warp = 0; warp < kTileWarps; ++warp) {
      if (warp >= num_warps) break;
      const float2 part = *reinterpret_cast<const float2*>(from + warp * kTileRows * stride_);
      sum.x += part.x;
      sum.y += part.y;
    }
    return sum;
  }

 private:
  float* memory_;
  int stride_;
};

}  // namespace sluice::cuda
