// The forward of linear layers so small that latency is all: few tokens and few features, where a
// library's product waits for its pipeline to fill.  bf16 and fp16, accumulated in float32.
//
// One launch makes out = activation(x weight^T + bias) + residual, and may take the layer norm in
// front of it along: then each block normalises its own rows of x on their way into the product,
// and one block of each row writes what LayerNormForward would have written.  A block owns 16
// tokens and some columns of out; its warps split the sum over K, hold their operands in registers,
// and meet once in shared memory.  The weights are in registers before the kernels ahead have ended
// (core/kernels/cuda/launch.h): weight, bias and the norm's parameters must not be written by work
// that is enqueued and not yet done.
//
// The order of every sum follows from the shape alone: equal bits on every run.
#pragma once

#include <cuda_runtime_api.h>

#include "core/kernels/layer_norm/layer_norm.h"
#include "core/kernels/matmul/matmul.h"
#include "core/kernels/small_linear/small_linear_tile.h"

namespace sluice::cuda {

// Whether there is a kernel for these arguments: 16-bit types, K a multiple of 32 and at most 2048
// (1024 behind a norm; half of both for k64), N a multiple of the tile, and 16-byte alignment.
bool CanRunSmallLinear(const LinearForwardArgs& args, SmallLinearTile tile);
bool CanRunSmallNormLinear(const LinearForwardArgs& linear, SmallLinearTile tile);

// Whether they are expected to be faster here than a library's product, by measurement.
struct LinearSizes {
  int64_t num_tokens = 0;
  int64_t num_inputs = 0;
  int64_t num_outputs = 0;
};
bool PrefersSmallLinear(const LinearSizes& sizes);

// The widest tile that still gives every multiprocessor a block or so.
SmallLinearTile ChooseSmallLinearTile(const LinearForwardArgs& args);
SmallLinearTile ChooseSmallNormLinearTile(const LinearForwardArgs& linear);

// As LinearForward of matmul.h.
void SmallLinearForward(const LinearForwardArgs& args, SmallLinearTile tile, cudaStream_t stream);

// As LayerNormForward(norm) and then LinearForward(linear), where linear.x is norm.out; norm.out is
// not norm.x.
void SmallNormLinearForward(const LayerNormForwardArgs& norm, const LinearForwardArgs& linear,
                            SmallLinearTile tile, cudaStream_t stream);

}  // namespace sluice::cuda
