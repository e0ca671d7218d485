// The linear layer, out = x weight^T + bias, with what surrounds it fused into the pass, and its
// two backwards.
//
// M is the number of tokens (all leading extents of x flattened), K the input and N the output
// features.  Weights are [out, in] row-major, as torch.nn.Linear has them.  In 16-bit precisions
// products are accumulated in float32.
#pragma once

#include "core/kernels/write_mode.h"
#include "core/tensor/tensor.h"

namespace sluice {

enum class Activation : uint8_t { kNone, kRelu };

// out = activation(x weight^T + bias) + residual
//
//   x         [M, K]  read
//   weight    [N, K]  read
//   bias      [N]     read; absent: no bias
//   residual  [M, N]  read; absent: nothing is added; may be out
//   out       [M, N]  overwritten; must not overlap x
//
// activation kRelu and a residual exclude each other.
struct LinearForwardArgs {
  Tensor x;
  Tensor weight;
  Tensor bias;
  Tensor residual;
  Tensor out;
  Activation activation = Activation::kNone;
};

// dx = (dout weight), and 0 where relu_out <= 0: the backward of a ReLU in front of this layer,
// fused.
//
//   dout      [M, N]  read
//   weight    [N, K]  read
//   relu_out  [M, K]  read: the forward's ReLU output, which is this layer's x; absent: no mask
//   dx        [M, K]  overwritten; must not overlap dout
struct LinearBackwardInputArgs {
  Tensor dout;
  Tensor weight;
  Tensor relu_out;
  Tensor dx;
};

// dweight (+)= dout^T x, dbias (+)= the sum of dout over tokens.
//
//   dout     [M, N]  read
//   x        [M, K]  read
//   dweight  [N, K]  overwritten or accumulated, by write_mode
//   dbias    [N]     the same; absent: not computed
//
// The gradients may have a wider element type than x.
struct LinearBackwardWeightArgs {
  Tensor dout;
  Tensor x;
  Tensor dweight;
  Tensor dbias;
  WriteMode write_mode = WriteMode::kOverwrite;
};

}  // namespace sluice
