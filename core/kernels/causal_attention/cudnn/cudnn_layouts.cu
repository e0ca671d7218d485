#include "core/base/checked_math.h"
#include "core/device/cuda/cuda_check.h"
#include "core/kernels/causal_attention/cudnn/cudnn_layouts.h"
#include "core/kernels/cuda/device_math.cuh"

namespace sluice::cuda {
namespace {

constexpr int kTile = 32;
constexpr int kTileRowsAtOnce = 8;
constexpr int kThreads = 256;

__global__ void __launch_bounds__(kTile* kTileRowsAtOnce)
    TransposeKernel(const float* x, float* y, MatrixSize size) {
  __shared__ float tile[kTile][kTile + 1];
  const int lane = static_cast<int>(threadIdx.x);
  const int64_t first_row = int64_t{blockIdx.x} * kTile;
  const int64_t first_column = int64_t{blockIdx.y} * kTile;
  for (int i = static_cast<int>(threadIdx.y); i < kTile; i += kTileRowsAtOnce) {
    const int64_t row = first_row + i;
    const int64_t column = first_column + lane;
    if (row < size.num_rows && column < size.num_columns) {
      tile[i][lane] = x[row * size.num_columns + column];
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.y); i < kTile; i += kTileRowsAtOnce) {
    const int64_t row = first_row + lane;
    const int64_t column = first_column + i;
    if (row < size.num_rows && column < size.num_columns) {
      y[column * size.num_rows + row] = tile[lane][i];
    }
  }
}

__device__ float4 operator+(float4 a, float4 b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
}

// A thread moves 4 elements; a row holds dk and dv of all pairs of one position.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    ScatterKeyGradientsKernel(const AttentionBackwardParams params, const T* dkv) {
  const AttentionShape& shape = params.shape;
  const int64_t row_size = int64_t{shape.num_pairs} * 2 * shape.head_dim / 4;
  const int64_t at = int64_t{blockIdx.x} * kThreads + static_cast<int>(threadIdx.x);
  if (at >= shape.num_keys * row_size) return;
  auto* accumulator = reinterpret_cast<float4*>(params.dkv_accumulator);
  alignas(8) T gradients[4];
  *reinterpret_cast<uint2*>(gradients) = reinterpret_cast<const uint2*>(dkv)[at];
  float4 value = {ToFloat(gradients[0]), ToFloat(gradients[1]), ToFloat(gradients[2]),
                  ToFloat(gradients[3])};
  if (params.write_mode == WriteMode::kAccumulate) value = value + accumulator[at];
  const int64_t position = at / row_size;
  if (position < shape.prefix_len) {
    accumulator[at] = value;
    return;
  }
  const int64_t element = at % row_size * 4;
  const int64_t pair = element / (2 * shape.head_dim);
  const int64_t in_pair = element % (2 * shape.head_dim);
  const int64_t row = (position - shape.prefix_len) * shape.num_pairs + pair;
  T* to = static_cast<T*>(params.dqkv) + (row * 3 + 1) * shape.head_dim + in_pair;
  *reinterpret_cast<uint2*>(to) = {Pack<T>(value.x, value.y), Pack<T>(value.z, value.w)};
}

unsigned NumBlocks(int64_t num_items, int64_t items_per_block) {
  return static_cast<unsigned>(CeilDiv(num_items, items_per_block));
}

}  // namespace

void LaunchTranspose(const float* x, float* y, MatrixSize size, cudaStream_t stream) {
  const dim3 grid(NumBlocks(size.num_rows, kTile), NumBlocks(size.num_columns, kTile));
  TransposeKernel<<<grid, dim3(kTile, kTileRowsAtOnce), 0, stream>>>(x, y, size);
  SLUICE_CUDA_CHECK_LAUNCH("TransposeStatistics");
}

template <typename T>
void LaunchScatterKeyGradients(const AttentionBackwardParams& params, const void* dkv,
                               cudaStream_t stream) {
  const int64_t num_items =
      int64_t{params.shape.num_keys} * params.shape.num_pairs * 2 * params.shape.head_dim / 4;
  ScatterKeyGradientsKernel<T>
      <<<NumBlocks(num_items, kThreads), kThreads, 0, stream>>>(params, static_cast<const T*>(dkv));
  SLUICE_CUDA_CHECK_LAUNCH("ScatterKeyGradients");
}

template void LaunchScatterKeyGradients<__nv_bfloat16>(const AttentionBackwardParams&, const void*,
                                                       cudaStream_t);
template void LaunchScatterKeyGradients<__half>(const AttentionBackwardParams&, const void*,
                                                cudaStream_t);

}  // namespace sluice::cuda
