#include "core/base/checked_math.h"
#include "core/device/cuda/cuda_check.h"
#include "core/kernels/causal_attention/attention_statistics.h"
#include "core/kernels/causal_attention/block_turns.cuh"
#include "core/kernels/cuda/dependent_launch.cuh"
#include "core/kernels/cuda/device_math.cuh"
#include "core/kernels/cuda/launch.h"

namespace sluice::cuda {
namespace {

constexpr int kWarpsPerBlock = 8;
constexpr int kQueriesPerWarp = 8;

// Sum of x * y over the 8 elements at `index`.
template <typename T>
__device__ float DotOfChunk(const T* x, const T* y, int64_t index) {
  constexpr int kVectors = static_cast<int>(sizeof(T)) / 2;
  alignas(16) T a[8];
  alignas(16) T b[8];
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    reinterpret_cast<uint4*>(a)[i] = reinterpret_cast<const uint4*>(x + index)[i];
    reinterpret_cast<uint4*>(b)[i] = reinterpret_cast<const uint4*>(y + index)[i];
  }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) sum = fmaf(ToFloat(a[i]), ToFloat(b[i]), sum);
  return sum;
}

// A warp makes the statistics of 8 queries of one pair, two rows at a time (16 lanes hold up to
// 128 elements), and writes them side by side.
template <typename T>
__global__ void __launch_bounds__(32 * kWarpsPerBlock)
    StatisticsKernel(const AttentionBackwardParams params) {
  AllowNextKernel();
  WaitForPreviousKernels();
  const AttentionShape& shape = params.shape;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t task = int64_t{blockIdx.x} * kWarpsPerBlock + static_cast<int>(threadIdx.x) / 32;
  const int pair = static_cast<int>(task % shape.num_pairs);
  const int64_t first_query = task / shape.num_pairs * kQueriesPerWarp;
  if (first_query >= params.padded_slice_len) return;
  if (task == 0 && lane == 0) *params.turns = 0;
  if (first_query % kAttentionTile == 0 && lane == 0) {
    *TurnOf(params, pair, static_cast<int>(first_query) / kAttentionTile) = 0;
  }

  float delta = 0;
#pragma unroll 8
  for (int step = 0; step < kQueriesPerWarp / 2; ++step) {
    const int64_t query = first_query + 2 * step + lane / 16;
    const int column = lane % 16 * 8;
    float sum = 0;
    if (query < shape.slice_len && column < shape.head_dim) {
      const int64_t row = query * shape.num_pairs + pair;
      sum = DotOfChunk(static_cast<const T*>(params.dout), static_cast<const T*>(params.out),
                       row * shape.head_dim + column);
    }
    sum = GroupSum<16>(sum);
    const float of_lane = __shfl_sync(0xffffffffu, sum, lane % 2 * 16);
    if (lane / 2 == step) delta = of_lane;
  }
  if (lane >= kQueriesPerWarp) return;
  const int64_t query = first_query + lane;
  const int64_t at = int64_t{pair} * params.padded_slice_len + query;
  params.delta[at] = delta;
  params.lse2[at] =
      query < shape.slice_len ? params.lse[query * shape.num_pairs + pair] * kLog2e : kInfinity;
}

}  // namespace

template <typename T>
void LaunchAttentionStatistics(const AttentionBackwardParams& params, cudaStream_t stream) {
  const int64_t num_tasks =
      int64_t{params.padded_slice_len} / kQueriesPerWarp * params.shape.num_pairs;
  const int64_t num_blocks = CeilDiv(num_tasks, kWarpsPerBlock);
  LaunchOverlapped(&StatisticsKernel<T>,
                   {.grid = static_cast<unsigned>(num_blocks), .block = 32 * kWarpsPerBlock},
                   stream, params);
  SLUICE_CUDA_CHECK_LAUNCH("AttentionStatistics");
}

template void LaunchAttentionStatistics<float>(const AttentionBackwardParams&, cudaStream_t);
template void LaunchAttentionStatistics<__nv_bfloat16>(const AttentionBackwardParams&,
                                                       cudaStream_t);
template void LaunchAttentionStatistics<__half>(const AttentionBackwardParams&, cudaStream_t);

}  // namespace sluice::cuda
