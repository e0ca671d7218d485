// Products of small tiles in shared memory on the tensor cores (mma.sync m16n8k16), and the
// asynchronous copies that fill the tiles.
//
// T is __nv_bfloat16 or __half.  A tile is row-major.  Its rows are padded by 16 bytes (TileStride)
// or, without padding, permuted (SwizzledTile), so that ldmatrix meets no bank conflicts.  All
// functions are called by whole warps.
//
// A product of 16 rows is split over the warps of the block by its inner dimension: each warp
// multiplies its own 16-steps (StepsOfWarp) into registers, and the partial sums of the warps meet
// in shared memory (PartialSums).  With that the whole of a small product is a few instructions a
// warp, whatever its shape.
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

// Who copies a tile: this thread's place among them.
struct CopyGroup {
  int index;
  int size;
};
__device__ inline CopyGroup WholeBlock() { return {static_cast<int>(threadIdx.x), kTileThreads}; }
__device__ inline CopyGroup OwnWarp() { return {LaneIndex(), 32}; }

// Where the rows of a tile come from.  Rows from num_rows on are zero.
template <typename T>
struct TileSource {
  const T* from;
  int64_t row_stride;  // elements
  int num_rows;
};
struct TileExtent {
  int num_rows;
  int num_columns;  // a multiple of 8
};

// Starts the copy of a tile whose rows are `stride` elements apart.  kLanes neighbouring threads
// copy a row, 8 elements each at a time.
template <int kLanes, typename T>
__device__ inline void CopyTileAsync(T* tile, int stride, const TileExtent& extent,
                                     const TileSource<T>& source, const CopyGroup& group) {
  const int first_column = group.index % kLanes * 8;
#pragma unroll 4
  for (int row = group.index / kLanes; row < extent.num_rows; row += group.size / kLanes) {
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

// The 16-steps of an inner dimension that this warp multiplies: [begin, end).
struct StepRange {
  int begin;
  int end;
};
__device__ inline StepRange StepsOfWarp(int inner_size) {
  const int steps = inner_size / 16;
  return {steps * WarpIndex() / kTileWarps, steps * (WarpIndex() + 1) / kTileWarps};
}

// A tile of 32 or 64 columns without padding: in row r the 16-byte chunk c lies at the place of
// chunk c ^ Permutation(r), so that eight neighbouring rows' chunks c lie in different banks.
template <typename T, int kColumns>
class SwizzledTile {
 public:
  static_assert(kColumns == 32 || kColumns == 64);
  static constexpr int kChunks = kColumns / 8;

  __device__ explicit SwizzledTile(T* memory) : memory_(memory) {}

  __host__ __device__ static constexpr int SizeBytes(int num_rows) {
    return num_rows * kColumns * static_cast<int>(sizeof(T));
  }

  // Starts the copy of rows [begin, end), of which `from` is row 0, by the warp.
  __device__ void CopyRowsAsync(const T* from, int64_t row_stride, int begin, int end) const {
#pragma unroll 4
    for (int i = LaneIndex(); i < (end - begin) * kChunks; i += 32) {
      const int row = begin + i / kChunks;
      const int chunk = i % kChunks;
      CopyAsync(SharedAddress(At(row, chunk)), from + row * row_stride + chunk * 8, true);
    }
  }

  // The right operand of a step: rows [row, row + 16), columns [column, column + 16).
  __device__ void LoadRight(uint32_t (&b)[4], int row, int column) const {
    LoadMatricesTransposed(
        b, SharedAddress(At(row + LaneIndex() % 16, column / 8 + LaneIndex() / 16)));
  }

 private:
  __device__ static int Permutation(int row) { return kColumns == 64 ? row % 8 : row / 2 % 4; }
  __device__ T* At(int row, int chunk) const {
    return memory_ + row * kColumns + (chunk ^ Permutation(row)) * 8;
  }

  T* memory_;
};

// d[16, kColumns] += a[16, steps] b[steps, kColumns], from a tile [m][k] and one [k][n].
template <typename T, int kColumns>
__device__ inline void MultiplySteps(float (&d)[kColumns / 8][4], const T* a, int a_stride,
                                     const SwizzledTile<T, kColumns>& b, const StepRange& steps) {
#pragma unroll 4
  for (int step = steps.begin; step < steps.end; ++step) {
    uint32_t left[4];
    LoadLeft(left, a + step * 16, a_stride);
#pragma unroll
    for (int n = 0; n < kColumns / 8; n += 2) {
      uint32_t right[4];
      b.LoadRight(right, step * 16, n * 8);
      MultiplyAccumulate<T>(d[n], left, right[0], right[1]);
      MultiplyAccumulate<T>(d[n + 1], left, right[2], right[3]);
    }
  }
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
