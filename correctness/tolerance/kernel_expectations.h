// What each kernel should compute, by the reference, and the errors that it may make.
//
//   const Arithmetic arithmetic = ArithmeticOf(Precision::kFloat32);
//   const Expectation out = ExpectLinear(shape, x, weight, bias, arithmetic);
//   CompareTensors<float, double>("out", actual, out.values, BoundOf(out));
//
// The inputs are the numbers that the kernel reads (already rounded to its element type), given in
// float64.  Shapes are those of core/reference/ops.h.  Derivations stand at the functions' bodies;
// the model of errors in correctness/tolerance/error_model.h.
#pragma once

#include "core/reference/ops.h"
#include "correctness/tolerance/error_model.h"

namespace sluice {

Expectation ExpectLinear(const reference::LinearShape& shape, const reference::Values& x,
                         const reference::Values& weight, const reference::Values& bias,
                         const Arithmetic& arithmetic);

// max(0, expectation), and expectation + addend: what is fused behind a linear layer.
Expectation ThenRelu(Expectation expectation);
Expectation ThenAdd(Expectation expectation, const reference::Values& addend,
                    const Arithmetic& arithmetic);

// The gradients that ReLU, in front of a linear layer, lets through: 0 where relu_out <= 0.
Expectation ThenReluBackward(Expectation expectation, const reference::Values& relu_out);

struct LinearBackwardExpectation {
  Expectation x, weight, bias;
};
LinearBackwardExpectation ExpectLinearBackward(const reference::LinearShape& shape,
                                               const reference::Values& x,
                                               const reference::Values& weight,
                                               const reference::Values& dout,
                                               const Arithmetic& arithmetic);

struct LayerNormExpectation {
  Expectation out, mean, rstd;
};
LayerNormExpectation ExpectLayerNorm(const reference::LayerNormShape& shape,
                                     const reference::Values& x, const reference::Values& weight,
                                     const reference::Values& bias, const Arithmetic& arithmetic);

struct LayerNormBackwardExpectation {
  Expectation x, weight, bias;
};
LayerNormBackwardExpectation ExpectLayerNormBackward(const reference::LayerNormShape& shape,
                                                     const reference::Values& x,
                                                     const reference::Values& weight,
                                                     const reference::Values& dout,
                                                     const Arithmetic& arithmetic);

struct AttentionExpectation {
  Expectation out, log_sum_exp;
};
AttentionExpectation ExpectCausalAttention(const reference::AttentionShape& shape,
                                           const reference::Values& qkv,
                                           const Arithmetic& arithmetic);

// dqkv of all P + L positions, as reference::CausalAttentionBackward returns it.
Expectation ExpectCausalAttentionBackward(const reference::AttentionShape& shape,
                                          const reference::Values& qkv,
                                          const reference::Values& dout,
                                          const Arithmetic& arithmetic);

// One element: the loss of z, with r empty for the mean.
Expectation ExpectLoss(const reference::Values& z, const reference::Values& r,
                       const Arithmetic& arithmetic);

}  // namespace sluice
