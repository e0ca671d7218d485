// Matrix products of float32 tiles in shared memory by FMA, made so that shared memory keeps up.
//
// Tiles are [64, columns], in chunks of 4 floats: chunk c of row r stands at c ^ SwizzleOf(r), so
// that the chunks a warp reads or writes together never meet in a bank, whether it goes along rows
// or columns.  Columns are padded to a multiple of 32.
//
// A group of 4 warps computes a [64, n] product.  In a warp, lanes form a grid of 4 rows and 8
// columns; a thread holds 4 rows and n / 8 columns of the product.  The bits of the lane that give
// row and column alternate: of the two 16-byte addresses that neighbouring lanes, and lanes two
// apart, read, one is always the same, which halves the cycles of a 16-byte load.
//
//   MultiplyNT   scores[64 i, 64 j]   = a[64 i, D] b[64 j, D]^T
//   MultiplyNN   output[64 i, D part] += scores[64 i, 64 j] b[64 j, D]
//   MultiplyTN   output[64 j, D]      += scores[64 i, 64 j]^T b[64 i, D]
#pragma once

#include "core/kernels/causal_attention/tile_source.cuh"
#include "core/kernels/cuda/async_copy.cuh"
#include "core/kernels/cuda/device_math.cuh"

namespace sluice::cuda {

inline constexpr int kFmaGroupThreads = 128;
inline constexpr int kFmaRows = 4;
inline constexpr int kFmaScoreColumns = 8;
// Rows and, for scores, columns of a thread are this far apart.
inline constexpr int kFmaSpread = 8;

template <int D>
inline constexpr int kFmaColumns = (D + 31) / 32 * 32;
template <int D>
inline constexpr int kFmaRowBytes = kFmaColumns<D>* static_cast<int>(sizeof(float));
// Vectors of 4 columns that a thread holds of each row of an output.
template <int D>
inline constexpr int kFmaVectors = kFmaColumns<D> / 32;

template <int D>
struct FmaTile {
  alignas(128) unsigned char bytes[kAttentionTile * kFmaRowBytes<D>];
};
using FmaScoreTile = FmaTile<kAttentionTile>;

__host__ __device__ constexpr int SwizzleOf(int row) { return (row & 3) << 1 | (row >> 2 & 1); }

// The thread's place in the grid of its warp.
__device__ inline int LaneRow() {
  return static_cast<int>(threadIdx.x & 1) | static_cast<int>(threadIdx.x >> 4 & 1) << 1;
}
__device__ inline int LaneColumn() { return static_cast<int>(threadIdx.x >> 1 & 7); }
__device__ inline int GroupWarp() { return static_cast<int>(threadIdx.x) % kFmaGroupThreads / 32; }

// Row i of the thread's, of scores and of the outputs of MultiplyNN.  All have one swizzle.
__device__ inline int FmaRow(int i) {
  return GroupWarp() / 2 * 32 + GroupWarp() % 2 * 4 + LaneRow() + i * kFmaSpread;
}
// Row i of the thread's, of the outputs of MultiplyTN.
__device__ inline int FmaTransposedRow(int i) { return (GroupWarp() * 4 + LaneRow()) * 4 + i; }
__device__ inline int FmaScoreColumn(int j) { return LaneColumn() + j * kFmaSpread; }
// First of the 4 columns of vector j of an output.
__device__ inline int FmaOutputColumn(int j) { return (LaneColumn() + j * kFmaSpread) * 4; }

// Offset of chunk 0 of a row.  That of chunk c is the same ^ (c % 8 * 16), + c / 8 * 128.
template <int D>
__device__ inline int FmaRowOffset(int row) {
  return row * kFmaRowBytes<D> + SwizzleOf(row) * 16;
}

__device__ inline void LoadChunk(float (&x)[4], const unsigned char* tile, int offset) {
  const float4 chunk = *reinterpret_cast<const float4*>(tile + offset);
  x[0] = chunk.x;
  x[1] = chunk.y;
  x[2] = chunk.z;
  x[3] = chunk.w;
}

template <int D>
__device__ inline void MultiplyNT(float (&scores)[kFmaRows][kFmaScoreColumns], const FmaTile<D>& a,
                                  const FmaTile<D>& b) {
  // Chunks between two loads' waiting.
  constexpr int kUnrolled = 4;
  constexpr int kStep = kFmaSpread * kFmaRowBytes<D>;
  static_assert(D / 4 % kUnrolled == 0);
#pragma unroll
  for (int i = 0; i < kFmaRows; ++i) {
#pragma unroll
    for (int j = 0; j < kFmaScoreColumns; ++j) scores[i][j] = 0;
  }
#pragma unroll 1
  for (int first = 0; first < D / 4; first += kUnrolled) {
    const int a_offset = FmaRowOffset<D>(FmaRow(0)) ^ first % 8 * 16;
    const int b_offset = FmaRowOffset<D>(FmaScoreColumn(0)) ^ first % 8 * 16;
    const unsigned char* a_bytes = a.bytes + first / 8 * 128;
    const unsigned char* b_bytes = b.bytes + first / 8 * 128;
#pragma unroll
    for (int chunk = 0; chunk < kUnrolled; ++chunk) {
      float x[kFmaRows][4];
      float y[kFmaScoreColumns][4];
#pragma unroll
      for (int i = 0; i < kFmaRows; ++i) {
        LoadChunk(x[i], a_bytes, (a_offset ^ chunk * 16) + i * kStep);
      }
#pragma unroll
      for (int j = 0; j < kFmaScoreColumns; ++j) {
        LoadChunk(y[j], b_bytes, (b_offset ^ chunk * 16) + j * kStep);
      }
#pragma unroll
      for (int e = 0; e < 4; ++e) {
#pragma unroll
        for (int i = 0; i < kFmaRows; ++i) {
#pragma unroll
          for (int j = 0; j < kFmaScoreColumns; ++j) {
            scores[i][j] = fmaf(x[i][e], y[j][e], scores[i][j]);
          }
        }
      }
    }
  }
}

// Adds x * row for the thread's columns of a row.
template <int kVectors, int kColumns>
__device__ inline void AddScaledRow(float (&output)[kColumns], float x,
                                    const float (&row)[kVectors][4]) {
  static_assert(4 * kVectors <= kColumns);
#pragma unroll
  for (int j = 0; j < kVectors; ++j) {
#pragma unroll
    for (int e = 0; e < 4; ++e) output[4 * j + e] = fmaf(x, row[j][e], output[4 * j + e]);
  }
}

// Vectors first_vector .. first_vector + kVectors - 1 of the product.
template <int D, int kVectors, int kColumns>
__device__ inline void MultiplyNN(float (&output)[kFmaRows][kColumns], const FmaScoreTile& scores,
                                  const FmaTile<D>& b, int first_vector) {
  const int a_offset = FmaRowOffset<kAttentionTile>(FmaRow(0));
  const int b_offset = LaneColumn() * 16 + first_vector * 128;
#pragma unroll 1
  for (int k = 0; k < kAttentionTile; k += 8) {
    const unsigned char* b_rows = b.bytes + k * kFmaRowBytes<D>;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int chunk = k / 4 + half;
      float x[kFmaRows][4];
#pragma unroll
      for (int i = 0; i < kFmaRows; ++i) {
        LoadChunk(x[i], scores.bytes + chunk / 8 * 128,
                  (a_offset ^ chunk % 8 * 16) + i * kFmaSpread * kFmaRowBytes<kAttentionTile>);
      }
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int row = half * 4 + e;
        float y[kVectors][4];
#pragma unroll
        for (int j = 0; j < kVectors; ++j) {
          LoadChunk(y[j], b_rows,
                    (b_offset ^ SwizzleOf(row) * 16) + row * kFmaRowBytes<D> + j * 128);
        }
#pragma unroll
        for (int i = 0; i < kFmaRows; ++i) AddScaledRow(output[i], x[i][e], y);
      }
    }
  }
}

template <int D>
__device__ inline void MultiplyTN(float (&output)[kFmaRows][4 * kFmaVectors<D>],
                                  const FmaScoreTile& scores, const FmaTile<D>& b) {
  const int a_chunk = FmaTransposedRow(0) / 4;
  const int a_offset = a_chunk % 8 * 16 + a_chunk / 8 * 128;
  const int b_offset = LaneColumn() * 16;
#pragma unroll 1
  for (int k = 0; k < kAttentionTile; k += 8) {
    const unsigned char* a_rows = scores.bytes + k * kFmaRowBytes<kAttentionTile>;
    const unsigned char* b_rows = b.bytes + k * kFmaRowBytes<D>;
#pragma unroll
    for (int row = 0; row < 8; ++row) {
      const int swizzle = SwizzleOf(row) * 16;
      float x[4];
      LoadChunk(x, a_rows, (a_offset ^ swizzle) + row * kFmaRowBytes<kAttentionTile>);
      float y[kFmaVectors<D>][4];
#pragma unroll
      for (int j = 0; j < kFmaVectors<D>; ++j) {
        LoadChunk(y[j], b_rows, (b_offset ^ swizzle) + row * kFmaRowBytes<D> + j * 128);
      }
#pragma unroll
      for (int i = 0; i < kFmaRows; ++i) AddScaledRow(output[i], x[i], y);
    }
  }
}

// The address of a thread's score in a tile of scores.
__device__ inline int FmaScoreOffset(int i, int j) {
  return (FmaRowOffset<kAttentionTile>(FmaRow(0)) ^ (LaneColumn() / 4 + j % 4 * 2) * 16) +
         i * kFmaSpread * kFmaRowBytes<kAttentionTile> + j / 4 * 128 + LaneColumn() % 4 * 4;
}
__device__ inline void StoreScores(FmaScoreTile& tile,
                                   const float (&scores)[kFmaRows][kFmaScoreColumns]) {
#pragma unroll
  for (int i = 0; i < kFmaRows; ++i) {
#pragma unroll
    for (int j = 0; j < kFmaScoreColumns; ++j) {
      *reinterpret_cast<float*>(tile.bytes + FmaScoreOffset(i, j)) = scores[i][j];
    }
  }
}
__device__ inline float LoadScore(const FmaScoreTile& tile, int i, int j) {
  return *reinterpret_cast<const float*>(tile.bytes + FmaScoreOffset(i, j));
}

// Starts the asynchronous copy of rows of `from` into a tile, by all threads of the block; what
// lies beyond the valid rows or columns is set to zero.
template <int D, int kThreads>
__device__ inline void LoadTileAsync(FmaTile<D>& tile, const TileSource& source) {
  constexpr int kChunks = kFmaColumns<D> / 4;
  constexpr int kLanes = kChunks <= 8 ? 8 : kChunks <= 16 ? 16 : 32;  // those of a row
  constexpr int kRowsAtOnce = kThreads / kLanes;
  const int chunk = static_cast<int>(threadIdx.x) % kLanes;
  const int first_row = static_cast<int>(threadIdx.x) / kLanes;
  const bool is_column = chunk * 4 < source.num_columns;
  const float* from =
      static_cast<const float*>(source.from) + first_row * source.row_stride + chunk * 4;
#pragma unroll
  for (int row = 0; row < kAttentionTile; row += kRowsAtOnce) {
    if (chunk < kChunks) {
      CopyAsync(SharedAddress(tile.bytes + (FmaRowOffset<D>(first_row + row) ^ chunk % 8 * 16) +
                              chunk / 8 * 128),
                from, is_column && first_row + row < source.num_rows);
    }
    from += kRowsAtOnce * source.row_stride;
  }
  CommitCopies();
}

}  // namespace sluice::cuda
