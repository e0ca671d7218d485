// Sums of the columns of a matrix in a fixed order: bias gradients, and the gradients of layer-norm
// parameters.
//
// The rows are cut into chunks, each summed by one thread block; a second launch adds the chunks in
// their order.  The number of chunks follows from the shape and the GPU, so the result is the same
// bits on every run.  No atomics.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/kernels/write_mode.h"
#include "core/tensor/tensor.h"

namespace sluice::cuda {

// Float32 elements of scratch memory that SumColumns needs for any matrix of up to this many
// columns.
int64_t ColumnSumsScratchSize(int64_t num_columns);

// sums (+)= sum of x over its rows.
//
//   x        [M, N]  read
//   sums     [N]     overwritten or accumulated, by write_mode; any element type
//   scratch  ColumnSumsScratchSize(N) floats, overwritten
void SumColumns(const Tensor& x, const Tensor& sums, WriteMode write_mode, float* scratch,
                cudaStream_t stream);

// The first launch alone, over a matrix that is masked on the way: gradient = relu_out > 0 ?
// gradient : 0, and the partial sums of its columns, for SumPartials.
//
//   relu_out  [M, N]  read
//   gradient  [M, N]  overwritten; the same element type
//   scratch   ColumnSumsScratchSize(N) floats, overwritten: the partial sums
struct ColumnPartials;
ColumnPartials MaskAndSumChunks(const Tensor& relu_out, const Tensor& gradient, float* scratch,
                                cudaStream_t stream);

// The second launch alone: column i of row p is partials.data[p * partials.num_columns + i].  The
// first columns are added up for `first`, those after them for `second`, which may be absent;
// together they have num_columns elements.
struct ColumnPartials {
  const float* data = nullptr;
  int num_partials = 0;
  int64_t num_columns = 0;
};
struct PartialSums {
  Tensor first;
  Tensor second;
};
void SumPartials(const ColumnPartials& partials, const PartialSums& sums, WriteMode write_mode,
                 cudaStream_t stream);

}  // namespace sluice::cuda
