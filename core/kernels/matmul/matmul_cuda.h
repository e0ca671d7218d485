// The linear layer on NVIDIA GPUs: the contract of matmul.h for float32, tf32, bf16 and fp16.
//
// Products run on cuBLASLt, or on Hopper some on our own kernels, with bias, ReLU and residual in
// the product's own pass (cublaslt_matmul.h says how that is chosen).  Where a product is added to
// a 16-bit matrix or bias (a residual, an accumulated 16-bit gradient, a bias of odd size), some of
// cuBLASLt's kernels round it to 16 bits first.
//
// The mask of the ReLU backward is a second pass over dx, and bias gradients are summed from dout
// in a fixed order.  cuBLASLt can do both in a product's own pass, but on an H100 in bf16 that
// takes longer: with 2048 tokens and a layer of 2048 by 8192, 213 us for dx against 94 and a pass
// of 39, 13 us more in the forward that writes the mask, and 25 us more for the bias gradient.
#pragma once

#include <cstdint>

#include "core/device/cuda/cuda_device.h"
#include "core/kernels/cuda/column_sums.h"
#include "core/kernels/matmul/cublaslt_matmul.h"
#include "core/kernels/matmul/matmul.h"

namespace sluice::cuda {

// Bytes of scratch memory that the three functions need for layers of up to this many features.
int64_t LinearScratchBytes(int64_t max_features);

// Each enqueues on `stream`, one of `matmul`'s; `scratch`, aligned to 256 bytes, is overwritten.
struct LinearContext {
  CublasLtMatmul& matmul;
  CudaStream& stream;
  void* scratch;
};
void LinearForward(const LinearForwardArgs& args, const LinearContext& context);
void LinearBackwardInput(const LinearBackwardInputArgs& args, const LinearContext& context);

// LinearBackwardInput with a relu_out; also writes partial sums of dx over tokens, for SumPartials,
// to `partials`: ColumnSumsScratchSize(K) floats.
ColumnPartials LinearBackwardInputAndSums(const LinearBackwardInputArgs& args, float* partials,
                                          const LinearContext& context);

void LinearBackwardWeight(const LinearBackwardWeightArgs& args, const LinearContext& context);

}  // namespace sluice::cuda
