// Tiles of attention on Hopper: from device memory to shared memory, the causal mask on
// accumulators, and accumulators to device memory.
#pragma once

#include "core/kernels/causal_attention/hopper/hopper_tensor_map.h"
#include "core/kernels/cuda/hopper_primitives.cuh"
#include "core/kernels/cuda/hopper_wgmma.cuh"
#include "core/kernels/cuda/named_barriers.cuh"

namespace sluice::cuda {

// Copies kRows rows from `row` on of one role and pair: column blocks of [kRows, 64].
template <int D, int kRows>
__device__ __forceinline__ void CopyTileAsync(unsigned char* to, const CUtensorMap& map,
                                              TensorCoordinates at, uint64_t* barrier) {
#pragma unroll
  for (int block = 0; block < kColumnBlocks<D>; ++block) {
#pragma unroll
    for (int row = 0; row < kRows; row += kBoxRows) {
      CopyBoxAsync(to + (block * kRows + row) * kBlockRowBytes, map,
                   {block * kBlockColumns, at.role, at.pair, at.row + row}, barrier);
    }
  }
}

template <typename T>
struct RowDestination {
  T* to;               // row 0 of the warpgroup's 64
  int64_t row_stride;  // elements
  int num_rows;        // those beyond are dropped
};

// Scores [queries, keys]: sets those of keys later than the query to minus infinity.  `visible` is
// the last visible column of the thread's first row.
template <int kCount>
__device__ __forceinline__ void MaskLaterKeys(float (&scores)[kCount], int visible) {
  const int column = static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (i / 4 * 8 + i % 2 + column > visible + i % 4 / 2 * 8) scores[i] = -kInfinity;
  }
}

// Scores [keys, queries]: the same.  `visible` is the first column that sees the thread's first
// row.
template <int kCount>
__device__ __forceinline__ void MaskEarlierQueries(float (&scores)[kCount], int visible) {
  const int column = static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (i / 4 * 8 + i % 2 + column < visible + i % 4 / 2 * 8) scores[i] = -kInfinity;
  }
}

// Writes x * row_scale.  `staging` is kTileBytes<D, 64> of shared memory of this warpgroup alone,
// of which each warp uses its own 16 rows.
template <typename T, int D>
__device__ __forceinline__ void StoreRows(const float (&x)[D / 2], const float (&row_scale)[2],
                                          unsigned char* staging,
                                          const RowDestination<T>& destination) {
  constexpr int kChunks = D / 8;
  const auto chunk_at = [&](int row, int chunk) {
    return staging + (chunk / 8 * 64 + row) * kBlockRowBytes + ((chunk % 8) ^ (row % 8)) * 16;
  };
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int j = 0; j < kChunks; ++j) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      *reinterpret_cast<uint32_t*>(chunk_at(AccumulatorRow() + 8 * h, j) + lane % 4 * 4) =
          Pack<T>(x[4 * j + 2 * h] * row_scale[h], x[4 * j + 2 * h + 1] * row_scale[h]);
    }
  }
  __syncwarp();
  const int first_row = AccumulatorRow() - lane / 4;
#pragma unroll 4
  for (int i = lane; i < 16 * kChunks; i += 32) {
    const int row = first_row + i / kChunks;
    const int chunk = i % kChunks;
    if (row < destination.num_rows) {
      *reinterpret_cast<uint4*>(destination.to + row * destination.row_stride + chunk * 8) =
          *reinterpret_cast<const uint4*>(chunk_at(row, chunk));
    }
  }
  __syncwarp();
}

}  // namespace sluice::cuda
