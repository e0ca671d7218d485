#include <algorithm>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/device/cuda/cuda_check.h"
#include "core/kernels/cuda/column_sums.h"
#include "core/kernels/cuda/element_types.h"
#include "core/kernels/cuda/vector_access.h"
#include "core/kernels/cuda/vector_io.cuh"

namespace sluice::cuda {
namespace {

constexpr int kThreadsX = 32;  // neighbouring columns, or vectors of them
constexpr int kThreadsY = 16;  // rows at a time
constexpr int kMaxChunks = 64;
// Rows a thread sums at least, before more chunks are made of them.
constexpr int kMinRowsPerThread = 8;
constexpr int kTargetBlocks = 264;

// What is summed: rows of vectors of kSize columns.
template <int kSize, typename T>
struct PlainRows {
  const T* x;

  __device__ void Load(int64_t i, float (&values)[kSize]) const { LoadVector(x + i, values); }
};

// A gradient that is masked where it lies.
template <int kSize, typename T>
struct MaskedRows {
  const T* relu_out;
  T* gradient;

  __device__ void Load(int64_t i, float (&values)[kSize]) const {
    float relu[kSize];
    LoadVector(relu_out + i, relu);
    LoadVector(gradient + i, values);
#pragma unroll
    for (int k = 0; k < kSize; ++k) values[k] = relu[k] > 0 ? values[k] : 0.0f;
    StoreVector(gradient + i, values);
  }
};

// Adds x[row, column ..] for the rows of chunk blockIdx.y that are this thread's.
template <int kSize, typename Rows>
__device__ void SumOwnRows(const Rows& rows, int64_t num_rows, int64_t num_columns, int64_t column,
                           float (&sums)[kSize]) {
  const int64_t begin = num_rows * blockIdx.y / gridDim.y;
  const int64_t end = num_rows * (blockIdx.y + 1) / gridDim.y;
#pragma unroll 4
  for (int64_t row = begin + threadIdx.y; row < end; row += kThreadsY) {
    float values[kSize];
    rows.Load(row * num_columns + column, values);
#pragma unroll
    for (int i = 0; i < kSize; ++i) sums[i] += values[i];
  }
}

// out[chunk, column] = the sum over the chunk's rows.  With one chunk `out` is the result itself.
template <int kSize, typename Rows, typename Out>
__global__ void __launch_bounds__(kThreadsX* kThreadsY)
    SumChunksKernel(Rows rows, int64_t num_rows, int64_t num_columns, Out* out,
                    WriteMode write_mode) {
  __shared__ float shared[kThreadsY][kThreadsX * kSize];
  const int64_t first_column = static_cast<int64_t>(blockIdx.x) * kThreadsX * kSize;
  const int64_t column = first_column + threadIdx.x * kSize;
  float sums[kSize] = {};
  if (column < num_columns) SumOwnRows(rows, num_rows, num_columns, column, sums);
#pragma unroll
  for (int i = 0; i < kSize; ++i) shared[threadIdx.y][threadIdx.x * kSize + i] = sums[i];
  __syncthreads();
  const int thread = static_cast<int>(threadIdx.y * kThreadsX + threadIdx.x);
  if (thread >= kThreadsX * kSize || first_column + thread >= num_columns) return;
  float sum = 0;
#pragma unroll
  for (int y = 0; y < kThreadsY; ++y) sum += shared[y][thread];
  Out* to = out + blockIdx.y * num_columns + first_column + thread;
  StoreFloat(to, write_mode == WriteMode::kAccumulate ? LoadAsFloat(to) + sum : sum);
}

constexpr int kPartialsThreadsY = 8;

template <typename Out>
struct PartialSumsParams {
  Out* first;
  Out* second;
  int64_t first_size;
};

template <typename Out>
__global__ void SumPartialsKernel(ColumnPartials partials, PartialSumsParams<Out> sums,
                                  WriteMode write_mode) {
  __shared__ float shared[kPartialsThreadsY][kThreadsX];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kThreadsX + threadIdx.x;
  float sum = 0;
  if (column < partials.num_columns) {
#pragma unroll 4
    for (int p = static_cast<int>(threadIdx.y); p < partials.num_partials; p += kPartialsThreadsY) {
      sum += partials.data[p * partials.num_columns + column];
    }
  }
  shared[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= partials.num_columns) return;
  sum = 0;
#pragma unroll
  for (int y = 0; y < kPartialsThreadsY; ++y) sum += shared[y][threadIdx.x];
  Out* to = column < sums.first_size ? sums.first + column : sums.second + column - sums.first_size;
  StoreFloat(to, write_mode == WriteMode::kAccumulate ? LoadAsFloat(to) + sum : sum);
}

// Of a matrix with the shape of `x`.
template <int kSize, typename Rows, typename Out>
void LaunchSumChunks(const Rows& rows, const Tensor& x, int num_chunks, Out* out,
                     WriteMode write_mode, cudaStream_t stream) {
  const int64_t num_columns = x.row_size();
  const dim3 grid(static_cast<unsigned>(CeilDiv(num_columns, kThreadsX * kSize)),
                  static_cast<unsigned>(num_chunks));
  SumChunksKernel<kSize><<<grid, dim3(kThreadsX, kThreadsY), 0, stream>>>(
      rows, x.num_rows(), num_columns, out, write_mode);
  SLUICE_CUDA_CHECK_LAUNCH("SumColumns");
}

int NumChunks(int64_t num_rows, int64_t num_column_blocks) {
  const int64_t by_rows = CeilDiv(num_rows, kThreadsY * kMinRowsPerThread);
  const int64_t by_blocks = CeilDiv(kTargetBlocks, num_column_blocks);
  return static_cast<int>(std::min({by_rows, by_blocks, int64_t{kMaxChunks}}));
}

template <typename T, int kSize>
void SumColumnsOf(const Tensor& x, const Tensor& sums, WriteMode write_mode, float* scratch,
                  cudaStream_t stream) {
  const int64_t num_columns = x.row_size();
  const int num_chunks = NumChunks(x.num_rows(), CeilDiv(num_columns, kThreadsX * kSize));
  const PlainRows<kSize, T> rows = {x.Data<T>()};
  if (num_chunks > 1) {
    LaunchSumChunks<kSize>(rows, x, num_chunks, scratch, WriteMode::kOverwrite, stream);
    SumPartials({.data = scratch, .num_partials = num_chunks, .num_columns = num_columns},
                {.first = sums, .second = {}}, write_mode, stream);
    return;
  }
  DispatchDType(sums.dtype(), [&](auto element) {
    using Out = typename decltype(element)::type;
    LaunchSumChunks<kSize>(rows, x, 1, sums.Data<Out>(), write_mode, stream);
  });
}

template <typename T, int kSize>
ColumnPartials MaskAndSumChunksOf(const Tensor& relu_out, const Tensor& gradient, float* scratch,
                                  cudaStream_t stream) {
  const int64_t num_columns = gradient.row_size();
  const int num_chunks = NumChunks(gradient.num_rows(), CeilDiv(num_columns, kThreadsX * kSize));
  const MaskedRows<kSize, T> rows = {relu_out.Data<T>(), gradient.Data<T>()};
  LaunchSumChunks<kSize>(rows, gradient, num_chunks, scratch, WriteMode::kOverwrite, stream);
  return {.data = scratch, .num_partials = num_chunks, .num_columns = num_columns};
}

}  // namespace

int64_t ColumnSumsScratchSize(int64_t num_columns) { return kMaxChunks * num_columns; }

void SumColumns(const Tensor& x, const Tensor& sums, WriteMode write_mode, float* scratch,
                cudaStream_t stream) {
  SLUICE_CHECK_EQ(x.row_size(), sums.num_elements());
  DispatchDType(x.dtype(), [&](auto element) {
    using T = typename decltype(element)::type;
    if (VectorSizeFor<T>(x.row_size(), x.data()) == 1) {
      SumColumnsOf<T, 1>(x, sums, write_mode, scratch, stream);
    } else {
      SumColumnsOf<T, kVectorSize<T>>(x, sums, write_mode, scratch, stream);
    }
  });
}

ColumnPartials MaskAndSumChunks(const Tensor& relu_out, const Tensor& gradient, float* scratch,
                                cudaStream_t stream) {
  SLUICE_CHECK_EQ(relu_out.num_elements(), gradient.num_elements());
  ColumnPartials partials;
  DispatchDType(gradient.dtype(), [&](auto element) {
    using T = typename decltype(element)::type;
    const bool is_whole =
        VectorSizeFor<T>(gradient.row_size(), relu_out.data(), gradient.data()) > 1;
    partials = is_whole ? MaskAndSumChunksOf<T, kVectorSize<T>>(relu_out, gradient, scratch, stream)
                        : MaskAndSumChunksOf<T, 1>(relu_out, gradient, scratch, stream);
  });
  return partials;
}

void SumPartials(const ColumnPartials& partials, const PartialSums& sums, WriteMode write_mode,
                 cudaStream_t stream) {
  const int64_t first_size = sums.first.num_elements();
  const int64_t second_size = sums.second.present() ? sums.second.num_elements() : 0;
  SLUICE_CHECK_EQ(first_size + second_size, partials.num_columns);
  const auto grid = static_cast<unsigned>(CeilDiv(partials.num_columns, kThreadsX));
  DispatchDType(sums.first.dtype(), [&](auto element) {
    using Out = typename decltype(element)::type;
    const PartialSumsParams<Out> params = {
        .first = sums.first.Data<Out>(),
        .second = sums.second.present() ? sums.second.Data<Out>() : nullptr,
        .first_size = first_size};
    SumPartialsKernel<<<grid, dim3(kThreadsX, kPartialsThreadsY), 0, stream>>>(partials, params,
                                                                               write_mode);
    SLUICE_CUDA_CHECK_LAUNCH("SumPartials");
  });
}

}  // namespace sluice::cuda
