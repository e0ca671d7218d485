#include "core/model/layer_ops.h"

namespace sluice {
namespace {

struct LinearParameters {
  Parameter weight;
  Parameter bias;
};
constexpr LinearParameters kInProj = {kInProjWeight, kInProjBias};
constexpr LinearParameters kOutProj = {kOutProjWeight, kOutProjBias};
constexpr LinearParameters kFc1 = {kFc1Weight, kFc1Bias};
constexpr LinearParameters kFc2 = {kFc2Weight, kFc2Bias};

LinearBackwardWeightArgs BackwardWeight(const LayerBackwardWeightArgs& layer,
                                        const LinearParameters& linear, const Tensor& dout,
                                        const Tensor& x) {
  return {.dout = dout,
          .x = x,
          .dweight = layer.weight_gradients[linear.weight],
          .dbias = layer.weight_gradients[linear.bias],
          .write_mode = layer.write_mode};
}

}  // namespace

LayerNormForwardArgs AttnLnForward(const LayerForwardArgs& layer) {
  const LayerActivations& a = layer.activations;
  return {.x = a.x,
          .weight = layer.weights[kAttnLnWeight],
          .bias = layer.weights[kAttnLnBias],
          .out = a.attn_ln_out,
          .mean = a.attn_ln_mean,
          .rstd = a.attn_ln_rstd};
}

LinearForwardArgs InProjForward(const LayerForwardArgs& layer) {
  const LayerActivations& a = layer.activations;
  return {.x = a.attn_ln_out,
          .weight = layer.weights[kInProjWeight],
          .bias = layer.weights[kInProjBias],
          .out = a.qkv.Rows(layer.prefix_len, a.attn_out.num_rows())};
}

CausalAttentionForwardArgs AttentionForward(const LayerForwardArgs& layer) {
  const LayerActivations& a = layer.activations;
  return {.qkv = a.qkv, .prefix_len = layer.prefix_len, .out = a.attn_out, .lse = a.attn_lse};
}

LinearForwardArgs OutProjForward(const LayerForwardArgs& layer) {
  const LayerActivations& a = layer.activations;
  return {.x = a.attn_out,
          .weight = layer.weights[kOutProjWeight],
          .bias = layer.weights[kOutProjBias],
          .residual = a.x,
          .out = a.y};
}

LayerNormForwardArgs FcLnForward(const LayerForwardArgs& layer) {
  const LayerActivations& a = layer.activations;
  return {.x = a.y,
          .weight = layer.weights[kFcLnWeight],
          .bias = layer.weights[kFcLnBias],
          .out = a.fc_ln_out,
          .mean = a.fc_ln_mean,
          .rstd = a.fc_ln_rstd};
}

LinearForwardArgs Fc1Forward(const LayerForwardArgs& layer) {
  const LayerActivations& a = layer.activations;
  return {.x = a.fc_ln_out,
          .weight = layer.weights[kFc1Weight],
          .bias = layer.weights[kFc1Bias],
          .out = a.fc1_out,
          .activation = Activation::kRelu};
}

LinearForwardArgs Fc2Forward(const LayerForwardArgs& layer) {
  const LayerActivations& a = layer.activations;
  return {.x = a.fc1_out,
          .weight = layer.weights[kFc2Weight],
          .bias = layer.weights[kFc2Bias],
          .residual = a.y,
          .out = a.z};
}

LinearBackwardInputArgs Fc2BackwardInput(const LayerBackwardArgs& layer) {
  const LayerGradients& g = layer.gradients;
  return {.dout = g.dz,
          .weight = layer.weights[kFc2Weight],
          .relu_out = layer.activations.fc1_out,
          .dx = g.dfc1};
}

LinearBackwardInputArgs Fc1BackwardInput(const LayerBackwardArgs& layer) {
  return {.dout = layer.gradients.dfc1,
          .weight = layer.weights[kFc1Weight],
          .dx = layer.scratch.dhidden};
}

LayerNormBackwardArgs FcLnBackward(const LayerBackwardArgs& layer) {
  const LayerActivations& a = layer.activations;
  return {.dout = layer.scratch.dhidden,
          .x = a.y,
          .weight = layer.weights[kFcLnWeight],
          .mean = a.fc_ln_mean,
          .rstd = a.fc_ln_rstd,
          .residual_gradient = layer.gradients.dz,
          .dx = layer.gradients.dy,
          .dweight = layer.weight_gradients[kFcLnWeight],
          .dbias = layer.weight_gradients[kFcLnBias],
          .write_mode = layer.write_modes.norms};
}

LinearBackwardInputArgs OutProjBackwardInput(const LayerBackwardArgs& layer) {
  return {.dout = layer.gradients.dy,
          .weight = layer.weights[kOutProjWeight],
          .dx = layer.scratch.dattn};
}

CausalAttentionBackwardArgs AttentionBackward(const LayerBackwardArgs& layer) {
  const LayerActivations& a = layer.activations;
  return {.qkv = a.qkv,
          .prefix_len = layer.prefix_len,
          .out = a.attn_out,
          .lse = a.attn_lse,
          .dout = layer.scratch.dattn,
          .dqkv = layer.gradients.dqkv,
          .dkv_accumulator = layer.key_value.dkv_accumulator,
          .write_mode = layer.key_value.write_mode};
}

LinearBackwardInputArgs InProjBackwardInput(const LayerBackwardArgs& layer) {
  return {.dout = layer.gradients.dqkv,
          .weight = layer.weights[kInProjWeight],
          .dx = layer.scratch.dhidden};
}

LayerNormBackwardArgs AttnLnBackward(const LayerBackwardArgs& layer) {
  const LayerActivations& a = layer.activations;
  return {.dout = layer.scratch.dhidden,
          .x = a.x,
          .weight = layer.weights[kAttnLnWeight],
          .mean = a.attn_ln_mean,
          .rstd = a.attn_ln_rstd,
          .residual_gradient = layer.gradients.dy,
          .dx = layer.dx,
          .dweight = layer.weight_gradients[kAttnLnWeight],
          .dbias = layer.weight_gradients[kAttnLnBias],
          .write_mode = layer.write_modes.norms};
}

LinearBackwardWeightArgs Fc2BackwardWeight(const LayerBackwardWeightArgs& layer) {
  return BackwardWeight(layer, kFc2, layer.gradients.dz, layer.activations.fc1_out);
}

LinearBackwardWeightArgs Fc1BackwardWeight(const LayerBackwardWeightArgs& layer) {
  return BackwardWeight(layer, kFc1, layer.gradients.dfc1, layer.activations.fc_ln_out);
}

LinearBackwardWeightArgs OutProjBackwardWeight(const LayerBackwardWeightArgs& layer) {
  return BackwardWeight(layer, kOutProj, layer.gradients.dy, layer.activations.attn_out);
}

LinearBackwardWeightArgs InProjBackwardWeight(const LayerBackwardWeightArgs& layer) {
  return BackwardWeight(layer, kInProj, layer.gradients.dqkv, layer.activations.attn_ln_out);
}

LayerBackwardWeightArgs WeightPart(const LayerBackwardArgs& layer) {
  return {.weight_gradients = layer.weight_gradients,
          .activations = layer.activations,
          .gradients = layer.gradients,
          .write_mode = layer.write_modes.linears.value()};
}

}  // namespace sluice
