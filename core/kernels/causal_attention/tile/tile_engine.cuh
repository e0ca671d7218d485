// Matrix products of 64-row tiles of 16-bit elements in shared memory, for the attention kernels
// that run on any GPU from sm_80 on.
//
// The engine says how a [64, n] product is spread over the threads of a block: each thread holds
// kRows rows and some columns, and all columns of a row lie in one group of neighbouring lanes, so
// that a row is reduced by shuffles.  Tiles are [64, D] with rows padded by 16 bytes (no bank
// conflicts); a tile of scores is [64, 64] with the same padding.
//
//   MultiplyNT   scores[64, 64] += a[64, D] b[64, D]^T
//   MultiplyNN   output[64, D]  += scores[64, 64] b[64, D]
//
// Each warp reads only those rows of `scores` that it holds itself.
#pragma once

#include "core/kernels/causal_attention/tile_source.cuh"
#include "core/kernels/cuda/device_math.cuh"
#include "core/kernels/cuda/tensor_core.cuh"

namespace sluice::cuda {

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
  static constexpr int kScoreColumns = kAttentionTile / 4;
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
      for (int n = 0; n < kAttentionTile; n += 16) {
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
    const uint32_t a_row = SharedAddress(
        scores + (warp * 16 + lane % 16) * kTileStride<T, kAttentionTile> + lane / 16 * 8);
    const uint32_t b_row = SharedAddress(b + (lane % 16) * kStride + lane / 16 * 8);
#pragma unroll
    for (int k = 0; k < kAttentionTile; k += 16) {
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
  // d[16, 8 columns from 8 n] += a[16, 16] b[16, 8]
  template <int kColumns>
  __device__ static void Multiply(float (&d)[kRows][kColumns], int n, const uint32_t (&a)[4],
                                  uint32_t b0, uint32_t b1) {
    float part[4] = {d[0][2 * n], d[0][2 * n + 1], d[1][2 * n], d[1][2 * n + 1]};
    MultiplyAccumulate<T>(part, a, b0, b1);
    d[0][2 * n] = part[0];
    d[0][2 * n + 1] = part[1];
    d[1][2 * n] = part[2];
    d[1][2 * n + 1] = part[3];
  }
};

}  // namespace sluice::cuda
