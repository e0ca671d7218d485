// The forward of linear layers so small that latency dominates: few tokens and few features, where
// a library's product waits for its pipeline to fill.  bf16 and fp16, accumulated in float32.
//
// One launch makes out = activation(x weight^T + bias) + residual, optionally with the layer norm
// in front of it: then each block normalises its own rows of x on their way into the product, and
// one block of each row writes what LayerNormForward would have written.  A block owns 16 tokens
// and some columns of out; its warps split the sum over K, hold their operands in registers, and
// add their parts once in shared memory.  The weights are in registers before the kernels ahead
// have ended (core/kernels/cuda/launch.h): weight, bias and the norm's parameters must not be
// written by work that is enqueued and not yet done.
//
// The order of every sum follows from the shape alone: equal bits on every run.
#pragma once

#include <cuda_runtime_api.h>

#include "core/kernels/layer_norm/layer_norm.h"
#include "core/kernels/matmul/matmul.h"
#include "core/kernels/small_layer/small_layer_sizes.h"

namespace sluice::cuda {

LinearSizes SizesOf(const LinearForwardArgs& args);

// As LinearForward of matmul.h, for sizes that CanRunSmallLinear, in 16-bit types that are aligned
// to 16 bytes.
void SmallLinearForward(const LinearForwardArgs& args, SmallLinearTile tile, cudaStream_t stream);

// As LayerNormForward(norm) and then LinearForward(linear), where linear.x is norm.out; norm.out is
// not norm.x.
void SmallNormLinearForward(const LayerNormForwardArgs& norm, const LinearForwardArgs& linear,
                            SmallLinearTile tile, cudaStream_t stream);

}  // namespace sluice::cuda
