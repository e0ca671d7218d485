// How errors pass through causal attention, forward and backward: the part of
// correctness/tolerance/stack_errors.h that looks at every pair of positions.
//
// An error is given by its mean square in each element of a token (the same for all elements of
// one token), and comes back as the mean square of its norm over a token.
#pragma once

#include <vector>

#include "core/reference/ops.h"
#include "correctness/tolerance/number_format.h"

namespace sluice {

struct AttentionRounding {
  NumberFormat intermediate;  // of probabilities and of the scores' gradients, as operands
  double accumulation = 0;    // unit roundoff of sums
};

struct AttentionOperands {
  const reference::AttentionShape& shape;
  const reference::Values& qkv;                // [P + L, B, N, 3, D]
  const std::vector<double>& qkv_mean_square;  // [P + L, B]
  double qkv_drift = 0;                        // relative (stack_errors.h)
};

// [L, B]: of the rows of `out`, which is what reference::CausalAttention returns.
std::vector<double> AttentionErrors(const AttentionOperands& operands, const reference::Values& out,
                                    const AttentionRounding& rounding);

struct AttentionGradientOperands {
  const reference::Values& out;                 // [L, B, N, D]
  const std::vector<double>& out_mean_square;   // [L, B]
  const reference::Values& dout;                // [L, B, N, D]
  const std::vector<double>& dout_mean_square;  // [L, B]
};

// Of the gradients of q, k and v of the L positions together, [L, B].  `lost_squares` is the
// sum of squares of the parts of the scores' gradients that underflow, carried to dq and dk;
// `delta_squares` that of what an error of delta (dout out) does to the sum over all keys of dk.
struct AttentionGradientErrors {
  std::vector<double> squares;
  double lost_squares = 0;
  double delta_squares = 0;
};
AttentionGradientErrors AttentionBackwardErrors(const AttentionOperands& operands,
                                                const AttentionGradientOperands& gradients,
                                                const AttentionRounding& rounding);

}  // namespace sluice
