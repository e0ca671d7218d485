// The kernel of attention_forward.h.
//
// Shapes: L queries of the slice, K = prefix_len + L keys, P pairs of a sequence and a head, D
// head_dim; qkv [K, P, 3, D], out [L, P, D], lse [L, P].
//
// In the products of queries and keys, lane 4 g + t holds the 8 neighbours from 8 t on of each 32
// columns of a row, for both operands alike (core/kernels/small_layer/small_product.cuh).

#include "core/base/check.h"
#include "core/kernels/cuda/dependent_launch.cuh"
#include "core/kernels/cuda/device_math.cuh"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/cuda/tensor_core.cuh"
#include "core/kernels/cuda/vector_io.cuh"
#include "core/kernels/small_layer/attention_forward.h"
#include "core/kernels/small_layer/small_layer_sizes.h"

namespace sluice::cuda {

inline constexpr int kSmallQueries = 16;
inline constexpr int kSmallKeys = 16;  // a warp's at a time
inline constexpr int kSmallColumns = 16;
inline constexpr int kSmallWarps = 8;
inline constexpr int kSmallOutStride = kSmallColumns + 8;  // for the banks

struct SmallAttentionMemory {
  float out[kSmallWarps][kSmallQueries][kSmallOutStride];
  float maximum[kSmallQueries][kSmallWarps];  // of raw scores
  float sum[kSmallQueries][kSmallWarps];
};

// A row of a matrix as the operand of a product over its D columns.
template <int D>
struct RowFragment {
  uint32_t values[D / 32][4];

  template <typename T>
  __device__ void Load(const T* row) {
    const T* from = row + static_cast<int>(threadIdx.x) % 4 * 8;
#pragma unroll
    for (int i = 0; i < D / 32; ++i) {
      const uint4 loaded = *reinterpret_cast<const uint4*>(from + i * 32);
      values[i][0] = loaded.x;
      values[i][1] = loaded.y;
      values[i][2] = loaded.z;
      values[i][3] = loaded.w;
    }
  }
};

// What a warp has seen so far of its keys, for rows g and g + 8: the largest raw score, this lane's
// part of the sum of exp2(scale2 (score - largest)), and that of the output.  Tile i of the output
// holds its columns 2 n + i, n from 0 to 7, so that a lane has four neighbours of a row.
struct SmallSoftmax {
  float maximum[2] = {-kInfinity, -kInfinity};
  float sum[2] = {};
  float out[2][4] = {};  // two tiles of 8 columns

  // Turns raw scores (minus infinity where masked) into weights.
  __device__ void Step(float (&scores)[2][4], float scale2) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float largest = maximum[half];
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
        largest = fmaxf(largest, fmaxf(scores[tile][2 * half], scores[tile][2 * half + 1]));
      }
      largest = GroupMax<4>(largest);
      // A row may be wholly masked so far.
      const float base = largest == -kInfinity ? 0 : largest * scale2;
      const float rescale = Exp2(fmaf(maximum[half], scale2, -base));
      maximum[half] = largest;
      sum[half] *= rescale;
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          scores[tile][i] = Exp2(fmaf(scores[tile][i], scale2, -base));
          sum[half] += scores[tile][i];
          out[tile][i] *= rescale;
        }
      }
    }
  }
};

// Adds what 16 keys give to the softmax.  Keys beyond the last repeat it: no query sees them.
template <typename T, int D>
struct SmallKeyBlock {
  RowFragment<D> keys[2];
  // Of keys 2 t and 2 t + 1 [first], and of those 8 further [second]: columns of tiles 0 and 1.
  uint32_t values[2][2];

  // `head`: the first key of this head; `column`: this block's first of the values.
  __device__ void Load(const AttentionShape& shape, const T* head, int first_key, int column) {
    const int g = static_cast<int>(threadIdx.x) % 32 / 4;
    const int t = static_cast<int>(threadIdx.x) % 4;
    const int stride = 3 * shape.num_pairs * D;
    const auto row = [&](int key) {
      return head + min(first_key + key, shape.num_keys - 1) * stride;
    };
    keys[0].Load(row(g) + D);
    keys[1].Load(row(g + 8) + D);
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      const auto load = [&](int key) {
        return *reinterpret_cast<const uint32_t*>(row(key) + 2 * D + column + 2 * g);
      };
      const uint32_t first = load(step * 8 + 2 * t);
      const uint32_t second = load(step * 8 + 2 * t + 1);
      values[0][step] = __byte_perm(first, second, 0x5410);  // the low halves
      values[1][step] = __byte_perm(first, second, 0x7632);
    }
  }

  // `visible`: the last key that row g of the queries sees, counted from the first of these.
  __device__ void Accumulate(SmallSoftmax& softmax, const RowFragment<D>& low,
                             const RowFragment<D>& high, int visible, float scale2) const {
    const int g = static_cast<int>(threadIdx.x) % 32 / 4;
    const int t = static_cast<int>(threadIdx.x) % 4;
    float scores[2][4] = {};
#pragma unroll
    for (int i = 0; i < D / 32; ++i) {
#pragma unroll
      for (int step = 0; step < 4; step += 2) {
        const uint32_t a[4] = {low.values[i][step], high.values[i][step], low.values[i][step + 1],
                               high.values[i][step + 1]};
#pragma unroll
        for (int tile = 0; tile < 2; ++tile) {
          MultiplyAccumulate<T>(scores[tile], a, keys[tile].values[i][step],
                                keys[tile].values[i][step + 1]);
        }
      }
    }
    if (visible - g < kSmallKeys - 1) {
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (tile * 8 + 2 * t + i % 2 > visible + i / 2 * 8) scores[tile][i] = -kInfinity;
        }
      }
    }
    softmax.Step(scores, scale2);
    const uint32_t a[4] = {Pack<T>(scores[0][0], scores[0][1]), Pack<T>(scores[0][2], scores[0][3]),
                           Pack<T>(scores[1][0], scores[1][1]),
                           Pack<T>(scores[1][2], scores[1][3])};
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
      MultiplyAccumulate<T>(softmax.out[tile], a, values[tile][0], values[tile][1]);
    }
  }
};

__device__ inline void StoreWarpSoftmax(SmallAttentionMemory& shared, const SmallSoftmax& softmax) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int g = static_cast<int>(threadIdx.x) % 32 / 4;
  const int t = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = g + 8 * half;
    const float sum = GroupSum<4>(softmax.sum[half]);
    if (t == 0) {
      shared.maximum[row][warp] = softmax.maximum[half];
      shared.sum[row][warp] = sum;
    }
    *reinterpret_cast<float4*>(&shared.out[warp][row][4 * t]) =
        float4{softmax.out[0][2 * half], softmax.out[1][2 * half], softmax.out[0][2 * half + 1],
               softmax.out[1][2 * half + 1]};
  }
}

// Merges the warps' parts: a thread finishes two neighbouring columns of a row.
template <typename T, int D>
__device__ inline void FinishRow(const SmallAttentionMemory& shared,
                                 const AttentionForwardParams& p, int first_query, int pair,
                                 int first_column) {
  const int row = static_cast<int>(threadIdx.x) / (kSmallColumns / 2);
  const int column = static_cast<int>(threadIdx.x) % (kSmallColumns / 2) * 2;
  const int query = first_query + row;
  if (row >= kSmallQueries || query >= p.shape.slice_len) return;
  const float scale = rsqrtf(static_cast<float>(D));
  float maxima[kSmallWarps];
  float sums[kSmallWarps];
  LoadVector(shared.maximum[row], maxima);
  LoadVector(shared.sum[row], sums);
  float maximum = maxima[0];
#pragma unroll
  for (int warp = 1; warp < kSmallWarps; ++warp) maximum = fmaxf(maximum, maxima[warp]);
  float sum = 0;
  float2 out = {0, 0};
#pragma unroll
  for (int warp = 0; warp < kSmallWarps; ++warp) {
    const float factor = Exp2((maxima[warp] - maximum) * scale * kLog2e);
    const float2 part = *reinterpret_cast<const float2*>(&shared.out[warp][row][column]);
    sum = fmaf(sums[warp], factor, sum);
    out.x = fmaf(part.x, factor, out.x);
    out.y = fmaf(part.y, factor, out.y);
  }
  const int at = query * p.shape.num_pairs + pair;
  const float inverse = __fdividef(1, sum);
  T* to = static_cast<T*>(p.out) + at * D + first_column + column;
  *reinterpret_cast<uint32_t*>(to) = Pack<T>(out.x * inverse, out.y * inverse);
  if (first_column + column == 0) p.lse[at] = maximum * scale + logf(sum);
}

// Block (i, j): pair i / (D / 16), columns from 16 (i % (D / 16)) on, the j-th last 16 queries.
template <typename T, int D>
__global__ void __launch_bounds__(kSmallWarps * 32)
    SmallAttentionForwardKernel(const __grid_constant__ AttentionForwardParams p) {
  extern __shared__ __align__(16) unsigned char memory[];
  auto& shared = *reinterpret_cast<SmallAttentionMemory*>(memory);
  const AttentionShape& shape = p.shape;
  const int pair = static_cast<int>(blockIdx.x) / (D / kSmallColumns);
  const int first_column = static_cast<int>(blockIdx.x) % (D / kSmallColumns) * kSmallColumns;
  const int first_query = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kSmallQueries;
  const int last_key = shape.prefix_len + min(first_query + kSmallQueries, shape.slice_len) - 1;
  const int g = static_cast<int>(threadIdx.x) % 32 / 4;
  const int stride = 3 * shape.num_pairs * D;
  const T* head = static_cast<const T*>(p.qkv) + 3 * pair * D;
  const float scale2 = rsqrtf(static_cast<float>(D)) * kLog2e;

  AllowNextKernel();
  WaitForPreviousKernels();
  RowFragment<D> low;
  RowFragment<D> high;
  const auto query_row = [&](int row) {
    return head + (shape.prefix_len + min(first_query + row, shape.slice_len - 1)) * stride;
  };
  low.Load(query_row(g));
  high.Load(query_row(g + 8));
  SmallSoftmax softmax;
  for (int first_key = static_cast<int>(threadIdx.x) / 32 * kSmallKeys; first_key <= last_key;
       first_key += kSmallWarps * kSmallKeys) {
    SmallKeyBlock<T, D> block;
    block.Load(shape, head, first_key, first_column);
    block.Accumulate(softmax, low, high, shape.prefix_len + first_query + g - first_key, scale2);
  }
  StoreWarpSoftmax(shared, softmax);
  __syncthreads();
  FinishRow<T, D>(shared, p, first_query, pair, first_column);
}

template <typename T, int D>
void LaunchSmallAttentionForwardOf(const AttentionForwardParams& params, cudaStream_t stream) {
  const int num_tiles = (params.shape.slice_len + kSmallQueries - 1) / kSmallQueries;
  LaunchOverlapped(
      SmallAttentionForwardKernel<T, D>,
      {.grid = dim3(static_cast<unsigned>(params.shape.num_pairs * (D / kSmallColumns)),
                    static_cast<unsigned>(num_tiles)),
       .block = dim3(kSmallWarps * 32),
       .shared_bytes = sizeof(SmallAttentionMemory)},
      stream, params);
  SLUICE_CUDA_CHECK_LAUNCH("SmallAttentionForward");
}

template <typename T>
void LaunchSmallAttentionForward(const AttentionForwardParams& params, cudaStream_t stream) {
  SLUICE_CHECK(CanRunSmallAttention({.head_dim = params.shape.head_dim}));
  // The kernel counts elements in 32 bits.
  SLUICE_CHECK_LT(
      int64_t{3} * params.shape.num_keys * params.shape.num_pairs * params.shape.head_dim,
      int64_t{1} << 31);
  if (params.shape.head_dim == 64) return LaunchSmallAttentionForwardOf<T, 64>(params, stream);
  LaunchSmallAttentionForwardOf<T, 128>(params, stream);
}

template void LaunchSmallAttentionForward<__nv_bfloat16>(const AttentionForwardParams&,
                                                         cudaStream_t);
template void LaunchSmallAttentionForward<__half>(const AttentionForwardParams&, cudaStream_t);

}  // namespace sluice::cuda
