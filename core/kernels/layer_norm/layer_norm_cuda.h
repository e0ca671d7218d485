// Layer normalisation on NVIDIA GPUs: the contract of layer_norm.h for float32, bf16 and fp16, with
// statistics, parameters and parameter gradients in float32.
//
// A warp, or for longer tokens a thread block, holds one token in its registers: x is read once, in
// 16-byte accesses, and the variance is summed from x - mean.  In the backward each block takes
// every n-th token, or several at once where they are short, and keeps its share of dweight and
// dbias in registers until the end; SumPartials adds the shares of the blocks in their order.
// Tokens that are too long for registers, or start at odd addresses, take a slower kernel that
// reads them more than once.  The kernels start while the one before them ends (launch.h).
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/kernels/layer_norm/layer_norm.h"

namespace sluice::cuda {

// Float32 elements of scratch memory that LayerNormBackward needs, for any number of tokens.
int64_t LayerNormScratchSize(int64_t hidden_size);

void LayerNormForward(const LayerNormForwardArgs& args, cudaStream_t stream);

// `scratch`, LayerNormScratchSize floats, is overwritten.
void LayerNormBackward(const LayerNormBackwardArgs& args, float* scratch, cudaStream_t stream);

// The two launches of LayerNormBackward apart: dx, with partial sums left in `scratch`; and from
// these dweight and dbias, which nobody on the way to the input's gradient waits for.
void LayerNormBackwardRows(const LayerNormBackwardArgs& args, float* scratch, cudaStream_t stream);
void LayerNormBackwardSums(const LayerNormBackwardArgs& args, const float* scratch,
                           cudaStream_t stream);

}  // namespace sluice::cuda
