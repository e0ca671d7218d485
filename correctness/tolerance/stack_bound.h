// How far a whole stack, its gradients and its loss may be from exact arithmetic, in relative L2.
//
// Derivation, in mean squares (the model of correctness/tolerance/error_model.h):
//   * A reduction over n terms of mixed sign has, in any order, partial sums no larger in the mean
//     square than the result, so its error is at most u_a^2 (n + 1) of the result's mean square;
//     a stored tensor adds u_s^2, a matrix product whose unit truncates operands by o adds (2 o)^2.
//   * One layer forward: reductions over H (in_proj, out_proj, fc1, and the mean and variance of
//     two layer norms), F (fc2), D (scores) and twice all P + L positions (softmax and its sum);
//     seven stored tensors; six matrix products.
//   * One layer backward: over 3H, H, F and H (the four linear layers), 2H for each of the two
//   layer
//     norms, twice D, and twice all positions; seven stored tensors, ten matrix products; a weight
//     gradient sums over all tokens besides.
//   * Depth: errors of layers are independent, so mean squares add.  They are neither amplified nor
//     damped in the mean: with the initial values of core/model/initial_values.h a layer norm, fc1,
//     ReLU, fc2 branch has mean-square gain 1/3 * 1/2 * 1/3 for a small error and for the
//     activation itself alike, and attention likewise up to 2 % a layer for the first positions; an
//     error is counted as if its branch were as large as the residual stream, which is a few times
//     too much. A gradient carries the errors of the whole forward and of the whole backward.
//   * Concentration (as in BoundOf): over t = ln(2 / p), a factor sqrt(1 + 2 sqrt(t / r) + 2 t /
//   r),
//     where r independent parts make up the tensor: tokens of an activation, features of a
//     parameter gradient.
//
// Weights other than initial values are outside of the model, and so is a hidden_size of a few
// elements: see kMinHiddenSizeOfStackBound.
//
// ReLU's derivative jumps, and an input within rounding of 0 may take the other side in a correct
// program: none in float64; in float32 a few of the millions of a stack may, and
// correctness/results/flipped_reference.h finds which did; in lower precision many do, and
// correctness/tolerance/stack_errors.h bounds them.  This formula is for float64 and float32.
#pragma once

#include <cstdint>

#include "core/model/model_config.h"
#include "core/tensor/dtype.h"

namespace sluice {

// The variance of fewer features may come near zero, and then a layer norm amplifies: no formula of
// sizes can know, and correctness/tolerance/stack_errors.h takes the values themselves.
constexpr int64_t kMinHiddenSizeOfStackBound = 16;

// What the project demands of every tensor of a checkpoint however large the model: 1e-12 in
// float64, 2e-5 in float32, and infinity (no demand beyond the derived bound) in lower precision.
double DemandedRelativeL2(Precision precision);

enum class StackTensor : uint8_t {
  kActivation,          // output, and inputs of layers
  kActivationGradient,  // grad.input, and gradients of layers' inputs
  kParameterGradient,
};

// The smaller of the derived bound and the demanded one.  config.seq_len is the number of all
// positions, P + L.
double StackRelativeL2(const ModelConfig& config, int64_t batch_size, Precision precision,
                       StackTensor tensor);

// A scalar loss has no relative bound (it may be near zero): its absolute bound follows from that
// of the output z by Cauchy and Schwarz, ||dz|| ||r|| / numel, plus its own sum's rounding, counted
// over z as one more reduction.  z_norm and r_norm are L2 norms; r_norm is sqrt(numel) for the
// mean.
struct LossMagnitudes {
  double z_norm = 0;
  double r_norm = 0;
};
double StackLossBound(const ModelConfig& config, int64_t batch_size, Precision precision,
                      const LossMagnitudes& magnitudes);

}  // namespace sluice
