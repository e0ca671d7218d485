// Layer normalisation over the hidden dimension (Ba et al., 1607.06450) and its backward.
//
// M is the number of tokens, H the hidden size.  Statistics are float64 for float64 tensors and
// float32 otherwise.
#pragma once

#include "core/kernels/write_mode.h"
#include "core/tensor/tensor.h"

namespace sluice {

inline constexpr double kLayerNormEpsilon = 1e-5;

// out = (x - mean) * rstd * weight + bias for each token; rstd = 1 / sqrt(variance + 1e-5),
// variance biased.
//
//   x             [M, H]  read
//   weight, bias  [H]     read, in the accumulator type
//   out           [M, H]  overwritten; may be x
//   mean, rstd    [M]     overwritten, in the accumulator type; kept for the backward
struct LayerNormForwardArgs {
  Tensor x;
  Tensor weight;
  Tensor bias;
  Tensor out;
  Tensor mean;
  Tensor rstd;
};

// dx = the gradient through the normalisation + residual_gradient (the gradient that goes around
// it); dweight (+)= sum over tokens of dout * normalised x, dbias (+)= sum of dout.
//
//   dout               [M, H]  read
//   x, weight          as in the forward, read
//   mean, rstd         [M]     read
//   residual_gradient  [M, H]  read; absent: nothing is added; may be dx
//   dx                 [M, H]  overwritten; may be dout
//   dweight, dbias     [H]     overwritten or accumulated, by write_mode, in the accumulator type
//
// The order of the sums over tokens is fixed for a given M and number of threads or blocks.
struct LayerNormBackwardArgs {
  Tensor dout;
  Tensor x;
  Tensor weight;
  Tensor mean;
  Tensor rstd;
  Tensor residual_gradient;
  Tensor dx;
  Tensor dweight;
  Tensor dbias;
  WriteMode write_mode = WriteMode::kOverwrite;
};

}  // namespace sluice
