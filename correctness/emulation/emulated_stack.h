// A step of the whole stack as the CUDA kernels compute it, on the CPU: the loops of core/reference
// in float32, rounded to 16 bits wherever core/kernels stores 16 bits, with the operands of tf32
// products cut to their 10 bits.  For tests of error bounds where there is no GPU; it shares with
// the kernels what is rounded and when, and nothing else.
//
// Rounded to the storage type: input, prefix, weights and biases of linear layers, outputs of layer
// norms, q k v, attention's output, both residual sums, ReLU's output; the gradients of all of
// these.  Inside attention the unnormalised probabilities of the forward, and p and
// ds = p (dp - delta) of the backward.  Float32: sums, statistics, softmax's sum, delta, and
// parameter gradients unless asked otherwise.  Residuals are added before the one rounding of their
// sum.
#pragma once

#include <cstdint>

#include "core/reference/transformer.h"
#include "core/tensor/dtype.h"

namespace sluice {

// In which order sums run: kernels are free in it.
enum class SumOrder : uint8_t {
  kForward,
  kBackward,
  kBlocks,  // of 32 terms each on its own, then of the blocks
};

// How a tf32 unit takes its operands.
enum class OperandRounding : uint8_t { kToNearest, kTruncated };

struct Emulation {
  Precision precision = Precision::kBFloat16;  // any but f64
  SumOrder sum_order = SumOrder::kForward;
  OperandRounding operand_rounding = OperandRounding::kToNearest;
  double gradient_scale = 1;  // the loss scale; taken off the results

  // Gradients of linear layers' parameters are summed over this many parts of the tokens one after
  // the other, and rounded, each part on its own and every sum, to grad_dtype.
  DType grad_dtype = DType::kFloat32;
  int64_t num_gradient_writes = 1;

  // Ranks that share each layer.  Each stores its partial product of out_proj and fc2, and its
  // partial gradient of the inputs of in_proj and fc1; they are added in the order of the ranks,
  // and each sum is stored.
  int tensor_parallel_size = 1;
};

// Without prefix_gradients.
reference::Step EmulateStep(const reference::Problem& problem, const Emulation& emulation);

}  // namespace sluice
