// One layer of the model on one rank: what its forward and its backward read and write for a unit
// (one micro-batch, one slice).
//
// Shapes: L positions of the slice, P cached before them, B sequences of the micro-batch, H
// hidden_size, N heads and F ffn_hidden_size of this rank (its shard), D head_dim.  "Own" rows:
// tensor_parallel.h; without a split sequence all L.
#pragma once

#include <array>
#include <optional>

#include "core/kernels/write_mode.h"
#include "core/model/model_config.h"
#include "core/tensor/tensor.h"

namespace sluice {

// The order of LayerParameters(), as indices.
enum Parameter : size_t {
  kAttnLnWeight,
  kAttnLnBias,
  kInProjWeight,
  kInProjBias,
  kOutProjWeight,
  kOutProjBias,
  kFcLnWeight,
  kFcLnBias,
  kFc1Weight,
  kFc1Bias,
  kFc2Weight,
  kFc2Bias,
};

// A rank's shards of a layer's parameters, or of their gradients.
using LayerParameterTensors = std::array<Tensor, kNumLayerParameters>;

// What the forward leaves for the backward.
struct LayerActivations {
  Tensor x;  // [own L, B, H] the layer's input; read by the forward, written by its producer
  Tensor attn_ln_out;                 // [L, B, H]
  Tensor attn_ln_mean, attn_ln_rstd;  // [own L * B], accumulator type
  Tensor qkv;       // [P + L or more, B, N, 3, D] of the micro-batch: the forward writes the L rows
                    // from P on
  Tensor attn_out;  // [L, B, N, D]
  Tensor attn_lse;  // [L, B, N], accumulator type
  Tensor y;         // [own L, B, H] the sum after attention
  Tensor fc_ln_out;               // [L, B, H]
  Tensor fc_ln_mean, fc_ln_rstd;  // [own L * B], accumulator type
  Tensor fc1_out;                 // [L, B, F] after the ReLU
  Tensor z;                       // [own L, B, H] the layer's output
};

// What the backward of the input leaves for the gradients of the weights.
struct LayerGradients {
  Tensor dz;    // [L, B, H] gradient of the output; own rows are written by its producer
  Tensor dfc1;  // [L, B, F] before the ReLU
  Tensor dy;    // [L, B, H]
  Tensor dqkv;  // [L, B, N, 3, D]
};

// Memory whose contents do not outlive a call.  Absent where a pass does not need it.
struct LayerScratch {
  Tensor partial;  // [L, B, H] forward with tensor parallelism: products before they are summed
  Tensor dhidden;  // [L, B, H] backward: gradients of the layer norms' outputs
  Tensor dattn;    // [L, B, N, D] backward: gradient of attn_out
};

// Reads activations.x and the rows before prefix_len of activations.qkv; overwrites everything else
// of `activations`.
struct LayerForwardArgs {
  const LayerParameterTensors& weights;
  int64_t prefix_len = 0;
  LayerActivations activations;
  LayerScratch scratch;
};

// The gradients of the slices of a micro-batch come in reverse order.  `dkv_accumulator`
// (causal_attention.h) carries those of keys and values from later slices to earlier ones; its
// write mode is kOverwrite for the last slice.
struct KeyValueGradients {
  Tensor dkv_accumulator;
  WriteMode write_mode = WriteMode::kOverwrite;
};

// How the gradients of parameters are written: of the two layer norms always, of the four linear
// layers where a mode is given.
struct LayerWriteModes {
  WriteMode norms = WriteMode::kOverwrite;
  std::optional<WriteMode> linears;
};

// The backward of the input, reading own rows of gradients.dz, and `activations`.
//
//   gradients        the rest is overwritten
//   dx               [own L, B, H] overwritten: the gradient of activations.x
//   weight_gradients overwritten or accumulated, by write_modes.  Those of layer norms come from
//   the
//                    same pass over the rows; those of linear layers, where a mode is given, are
//                    made as soon as their operands are there, in place of a BackwardWeight.
struct LayerBackwardArgs {
  const LayerParameterTensors& weights;
  const LayerParameterTensors& weight_gradients;
  int64_t prefix_len = 0;
  LayerActivations activations;
  LayerGradients gradients;
  KeyValueGradients key_value;
  LayerScratch scratch;
  LayerWriteModes write_modes;
  Tensor dx;
};

// The gradients of the weights, from what the backward of the input left.
//
//   weight_gradients overwritten or accumulated, by write_mode: the eight of the linear layers
struct LayerBackwardWeightArgs {
  const LayerParameterTensors& weight_gradients;
  LayerActivations activations;
  LayerGradients gradients;
  WriteMode write_mode = WriteMode::kOverwrite;
};

}  // namespace sluice
