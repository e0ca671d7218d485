// One layer of the model on one rank: the forward of a unit (one micro-batch, one slice), and its
// backward in two parts that can run together or apart (zero-bubble schedules need them apart).
//
// Shapes: L positions of the slice, P cached before them, B sequences of the micro-batch, H
// hidden_size, N heads and F ffn_hidden_size of this rank (its shard), D head_dim.  "Own" rows:
// tensor_parallel.h; without a split sequence all L.
#pragma once

#include <array>
#include <optional>

#include "core/kernels/kernels.h"
#include "core/model/model_config.h"
#include "core/model/tensor_parallel.h"

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
  Tensor x;  // [own L, B, H] the layer's input; read by the forward, written by whoever makes it
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

// What BackwardInput leaves for BackwardWeight.
struct LayerGradients {
  Tensor dz;    // [L, B, H] gradient of the output; own rows are written by whoever makes it
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

// What computes: a rank's kernels, and how its tensor-parallel group meets.
struct LayerContext {
  Kernels& kernels;
  TensorParallel& tensor_parallel;
};

// Reads a.x and the rows before prefix_len of a.qkv; overwrites everything else of `a`.
void LayerForward(const LayerContext& context, const LayerParameterTensors& weights,
                  int64_t prefix_len, const LayerActivations& a, const LayerScratch& scratch);

// The gradients of the slices of a micro-batch come in reverse order.  `dkv_accumulator`
// (causal_attention.h) carries those of keys and values from later slices to earlier ones; its
// write mode is kOverwrite for the last slice.
struct KeyValueGradients {
  Tensor dkv_accumulator;
  WriteMode write_mode = WriteMode::kOverwrite;
};

// Reads own rows of g.dz, and `a`; overwrites the rest of `g`, and dx [own L, B, H], the gradient
// of a.x.  Layer-norm parameters' gradients are made here: they fall out of the same pass over the
// rows.
//
//   gradients  overwritten or accumulated, by write_modes: the four of the layer norms; and, where
//              a mode is given for them, the eight of the linear layers, each as soon as its
//              operands are there and beside what follows, in place of LayerBackwardWeight.  To be
//              used after the kernels' FinishGradients.
struct LayerWriteModes {
  WriteMode norms = WriteMode::kOverwrite;
  std::optional<WriteMode> linears;
};
void LayerBackwardInput(const LayerContext& context, const LayerParameterTensors& weights,
                        int64_t prefix_len, const LayerActivations& a, const LayerGradients& g,
                        const KeyValueGradients& key_value, const LayerScratch& scratch,
                        const LayerParameterTensors& gradients, const LayerWriteModes& write_modes,
                        const Tensor& dx);

// Reads `a` and `g` as BackwardInput left them.
//
//   gradients  overwritten or accumulated, by write_mode: the eight of the linear layers
void LayerBackwardWeight(const LayerContext& context, const LayerActivations& a,
                         const LayerGradients& g, const LayerParameterTensors& gradients,
                         WriteMode write_mode);

}  // namespace sluice
