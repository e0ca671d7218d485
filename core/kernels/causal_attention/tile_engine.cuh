// Matrix products of 64-row tiles in shared memory, for the attention kernels that run on any GPU
// from sm_80 on.
//
// An engine says how a [64, n] product is spread over the threads of a block: each thread holds
// kRows rows and some columns, and all columns of a row lie in one group of neighbouring lanes, so
// that a row is reduced by shuffles.  Tiles are [64, D] with rows padded by 16 bytes (no bank
// conflicts); a tile of scores is [64, 64] with the same padding.
//
//   MultiplyNT   scores[64, 64] += a[64, D] b[64, D]^T
//   MultiplyNN   output[64, D]  += scores[64, 64] b[64, D]
//
// Each warp reads only those rows of `scores` that it holds itself.
#pragma once

#include <type_traits>

#include "core/kernels/cuda/device_math.cuh"

namespace sluice::cuda {

inline constexpr int kTile = 64;

template <typename T>
inline constexpr int kRowPadding = 16 / static_cast<int>(sizeof(T));

// Elements from one row to the next of a tile with kColumns columns.
template <typename T, int kColumns>
inline constexpr int kTileStride = kColumns + kRowPadding<T>;

// mma.sync m16n8k16: 4 warps of 16 rows each.  A thread holds rows lane / 4 and lane / 4 + 8 of
// its warp's and, of every 8 columns, the two from 2 (lane % 4).
template <typename T, int D>
struct TensorCoreEngine {
  static constexpr int kThreads = 128;
  static constexpr int kRows = 2;
  static constexpr int kScoreColumns = kTile / 4;
  static constexpr int kOutputColumns = D / 4;
  static constexpr int kLanesPerRow = 4;

  __device__ static int Row(int i) {
    return static_cast<int>(threadIdx.x) / 32 * 16 + static_cast<int>(threadIdx.x) % 32 / 4 + 8 * i;
  }
  __device__ static int Column(int j) {
    return j / 2 * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + j % 2;
  }
  __device__ static int OutputColumn(int j) { return Column(j); }

  __device__ static void MultiplyNT(float (&scores)[kRows][kScoreColumns], const T* a, const T* b) {
    constexpr int kStride = kTileStride<T, D>;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const uint32_t a_row = SharedAddress(a + (warp * 16 + lane % 16) * kStride + lane / 16 * 8);
    const uint32_t b_row =
        SharedAddress(b + (lane / 16 * 8 + lane % 8) * kStride + lane / 8 % 2 * 8);
#pragma unroll
    for (int k = 0; k < D; k += 16) {
      uint32_t a_fragment[4];
      LoadMatrices(a_fragment, a_row + k * sizeof(T));
#pragma unroll
      for (int n = 0; n < kTile; n += 16) {
        uint32_t b_fragment[4];
        LoadMatrices(b_fragment, b_row + (n * kStride + k) * sizeof(T));
        Multiply(scores, n / 8, a_fragment, b_fragment[0], b_fragment[1]);
        Multiply(scores, n / 8 + 1, a_fragment, b_fragment[2], b_fragment[3]);
      }
    }
  }

  __device__ static void MultiplyNN(float (&output)[kRows][kOutputColumns], const T* scores,
                                    const T* b) {
    constexpr int kStride = kTileStride<T, D>;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const uint32_t a_row =
        SharedAddress(scores + (warp * 16 + lane % 16) * kTileStride<T, kTile> + lane / 16 * 8);
    const uint32_t b_row = SharedAddress(b + (lane % 16) * kStride + lane / 16 * 8);
#pragma unroll
    for (int k = 0; k < kTile; k += 16) {
      uint32_t a_fragment[4];
      LoadMatrices(a_fragment, a_row + k * sizeof(T));
#pragma unroll
      for (int n = 0; n < D; n += 16) {
        uint32_t b_fragment[4];
        LoadMatricesTransposed(b_fragment, b_row + (k * kStride + n) * sizeof(T));
        Multiply(output, n / 8, a_fragment, b_fragment[0], b_fragment[1]);
        Multiply(output, n / 8 + 1, a_fragment, b_fragment[2], b_fragment[3]);
      }
    }
  }

 private:
  __device__ static void LoadMatrices(uint32_t (&r)[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  }
  __device__ static void LoadMatricesTransposed(uint32_t (&r)[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  }
  // d[16, 8 columns from 8 n] += a[16, 16] b[16, 8]
  template <int kColumns>
  __device__ static void Multiply(float (&d)[kRows][kColumns], int n, const uint32_t (&a)[4],
                                  uint32_t b0, uint32_t b1) {
    if constexpr (std::is_same_v<T, __half>) {
      asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
          "{%8, %9}, {%0, %1, %2, %3};"
          : "+f"(d[0][2 * n]), "+f"(d[0][2 * n + 1]), "+f"(d[1][2 * n]), "+f"(d[1][2 * n + 1])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    } else {
      asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
          "{%8, %9}, {%0, %1, %2, %3};"
          : "+f"(d[0][2 * n]), "+f"(d[0][2 * n + 1]), "+f"(d[1][2 * n]), "+f"(d[1][2 * n + 1])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    }
  }
};

// FMA in float32: 256 threads as 16 x 16.  A thread holds every 16th row; its score columns are
// every 16th, its output columns come in vectors of kVector.
template <int D>
struct FmaEngine {
  static constexpr int kThreads = 256;
  static constexpr int kRows = 4;
  static constexpr int kScoreColumns = 4;
  static constexpr int kOutputColumns = D / 16;
  static constexpr int kLanesPerRow = 16;
  static constexpr int kVector = D % 64 == 0 ? 4 : D % 32 == 0 ? 2 : 1;

  __device__ static int Row(int i) { return static_cast<int>(threadIdx.x) / 16 + 16 * i; }
  __device__ static int Column(int j) { return static_cast<int>(threadIdx.x) % 16 + 16 * j; }
  __device__ static int OutputColumn(int j) {
    return (static_cast<int>(threadIdx.x) % 16 + j / kVector * 16) * kVector + j % kVector;
  }

  __device__ static void MultiplyNT(float (&scores)[kRows][kScoreColumns], const float* a,
                                    const float* b) {
    constexpr int kStride = kTileStride<float, D>;
#pragma unroll 4
    for (int k = 0; k < D; k += 4) {
      float4 a_vector[kRows];
      float4 b_vector[kScoreColumns];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        a_vector[i] = *reinterpret_cast<const float4*>(a + Row(i) * kStride + k);
      }
#pragma unroll
      for (int j = 0; j < kScoreColumns; ++j) {
        b_vector[j] = *reinterpret_cast<const float4*>(b + Column(j) * kStride + k);
      }
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
#pragma unroll
        for (int j = 0; j < kScoreColumns; ++j) {
          scores[i][j] = fmaf(a_vector[i].x, b_vector[j].x, scores[i][j]);
          scores[i][j] = fmaf(a_vector[i].y, b_vector[j].y, scores[i][j]);
          scores[i][j] = fmaf(a_vector[i].z, b_vector[j].z, scores[i][j]);
          scores[i][j] = fmaf(a_vector[i].w, b_vector[j].w, scores[i][j]);
        }
      }
    }
  }

  __device__ static void MultiplyNN(float (&output)[kRows][kOutputColumns], const float* scores,
                                    const float* b) {
#pragma unroll 2
    for (int k = 0; k < kTile; k += 4) {
      float4 a_vector[kRows];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        a_vector[i] =
            *reinterpret_cast<const float4*>(scores + Row(i) * kTileStride<float, kTile> + k);
      }
#pragma unroll
      for (int kk = 0; kk < 4; ++kk) {
        alignas(16) float b_row[kOutputColumns];
        LoadRow(b_row, b + (k + kk) * kTileStride<float, D>);
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          const float x = kk == 0   ? a_vector[i].x
                          : kk == 1 ? a_vector[i].y
                          : kk == 2 ? a_vector[i].z
                                    : a_vector[i].w;
#pragma unroll
          for (int j = 0; j < kOutputColumns; ++j) output[i][j] = fmaf(x, b_row[j], output[i][j]);
        }
      }
    }
  }

 private:
  __device__ static void LoadRow(float (&row)[kOutputColumns], const float* b) {
#pragma unroll
    for (int j = 0; j < kOutputColumns; j += kVector) {
      const float* from = b + OutputColumn(j);
      if constexpr (kVector == 4) {
        *reinterpret_cast<float4*>(row + j) = *reinterpret_cast<const float4*>(from);
      } else if constexpr (kVector == 2) {
        *reinterpret_cast<float2*>(row + j) = *reinterpret_cast<const float2*>(from);
      } else {
        row[j] = *from;
      }
    }
  }
};

template <typename T, int D>
struct EngineOf {
  using Type = TensorCoreEngine<T, D>;
};
template <int D>
struct EngineOf<float, D> {
  using Type = FmaEngine<D>;
};
template <typename T, int D>
using Engine = typename EngineOf<T, D>::Type;

}  // namespace sluice::cuda
