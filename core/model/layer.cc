#include "core/model/layer.h"

namespace sluice {
namespace {

// out = residual + x weight^T + bias, where each rank of the group holds some columns of weight and
// of x.
void RowParallelLinear(const LayerContext& context, const LinearForwardArgs& args,
                       const Tensor& partial) {
  if (context.tensor_parallel.shard().count == 1) return context.kernels.LinearForward(args);
  context.kernels.LinearForward({.x = args.x, .weight = args.weight, .out = partial});
  context.tensor_parallel.SumPartials(partial);
  context.kernels.AddBiasResidual({.x = context.tensor_parallel.OwnRows(partial),
                                   .bias = args.bias,
                                   .residual = args.residual,
                                   .out = args.out});
}

}  // namespace

void LayerForward(const LayerContext& context, const LayerParameterTensors& weights,
                  int64_t prefix_len, const LayerActivations& a, const LayerScratch& scratch) {
  Kernels& kernels = context.kernels;
  TensorParallel& group = context.tensor_parallel;
  kernels.LayerNormForward({.x = a.x,
                            .weight = weights[kAttnLnWeight],
                            .bias = weights[kAttnLnBias],
                            .out = group.OwnRows(a.attn_ln_out),
                            .mean = a.attn_ln_mean,
                            .rstd = a.attn_ln_rstd});
  group.GatherRows(a.attn_ln_out);
  kernels.LinearForward({.x = a.attn_ln_out,
                         .weight = weights[kInProjWeight],
                         .bias = weights[kInProjBias],
                         .out = a.qkv.Rows(prefix_len, a.attn_out.num_rows())});
  kernels.CausalAttentionForward(
      {.qkv = a.qkv, .prefix_len = prefix_len, .out = a.attn_out, .lse = a.attn_lse});
  RowParallelLinear(context,
                    {.x = a.attn_out,
                     .weight = weights[kOutProjWeight],
                     .bias = weights[kOutProjBias],
                     .residual = a.x,
                     .out = a.y},
                    scratch.partial);
  kernels.LayerNormForward({.x = a.y,
                            .weight = weights[kFcLnWeight],
                            .bias = weights[kFcLnBias],
                            .out = group.OwnRows(a.fc_ln_out),
                            .mean = a.fc_ln_mean,
                            .rstd = a.fc_ln_rstd});
  group.GatherRows(a.fc_ln_out);
  kernels.LinearForward({.x = a.fc_ln_out,
                         .weight = weights[kFc1Weight],
                         .bias = weights[kFc1Bias],
                         .out = a.fc1_out,
                         .activation = Activation::kRelu});
  RowParallelLinear(context,
                    {.x = a.fc1_out,
                     .weight = weights[kFc2Weight],
                     .bias = weights[kFc2Bias],
                     .residual = a.y,
                     .out = a.z},
                    scratch.partial);
}

void LayerBackwardInput(const LayerContext& context, const LayerParameterTensors& weights,
                        int64_t prefix_len, const LayerActivations& a, const LayerGradients& g,
                        const KeyValueGradients& key_value, const LayerScratch& scratch,
                        const LayerParameterTensors& gradients, WriteMode write_mode,
                        const Tensor& dx) {
  Kernels& kernels = context.kernels;
  TensorParallel& group = context.tensor_parallel;
  group.GatherRows(g.dz);
  kernels.LinearBackwardInput(
      {.dout = g.dz, .weight = weights[kFc2Weight], .relu_out = a.fc1_out, .dx = g.dfc1});
  kernels.LinearBackwardInput(
      {.dout = g.dfc1, .weight = weights[kFc1Weight], .dx = scratch.dhidden});
  group.SumPartials(scratch.dhidden);
  kernels.LayerNormBackward({.dout = group.OwnRows(scratch.dhidden),
                             .x = a.y,
                             .weight = weights[kFcLnWeight],
                             .mean = a.fc_ln_mean,
                             .rstd = a.fc_ln_rstd,
                             .residual_gradient = group.OwnRows(g.dz),
                             .dx = group.OwnRows(g.dy),
                             .dweight = gradients[kFcLnWeight],
                             .dbias = gradients[kFcLnBias],
                             .write_mode = write_mode});
  group.GatherRows(g.dy);
  kernels.LinearBackwardInput(
      {.dout = g.dy, .weight = weights[kOutProjWeight], .dx = scratch.dattn});
  kernels.CausalAttentionBackward({.qkv = a.qkv,
                                   .prefix_len = prefix_len,
                                   .out = a.attn_out,
                                   .lse = a.attn_lse,
                                   .dout = scratch.dattn,
                                   .dqkv = g.dqkv,
                                   .dkv_accumulator = key_value.dkv_accumulator,
                                   .write_mode = key_value.write_mode});
  kernels.LinearBackwardInput(
      {.dout = g.dqkv, .weight = weights[kInProjWeight], .dx = scratch.dhidden});
  group.SumPartials(scratch.dhidden);
  kernels.LayerNormBackward({.dout = group.OwnRows(scratch.dhidden),
                             .x = a.x,
                             .weight = weights[kAttnLnWeight],
                             .mean = a.attn_ln_mean,
                             .rstd = a.attn_ln_rstd,
                             .residual_gradient = group.OwnRows(g.dy),
                             .dx = dx,
                             .dweight = gradients[kAttnLnWeight],
                             .dbias = gradients[kAttnLnBias],
                             .write_mode = write_mode});
}

void LayerBackwardWeight(const LayerContext& context, const LayerActivations& a,
                         const LayerGradients& g, const LayerParameterTensors& gradients,
                         WriteMode write_mode) {
  const auto backward = [&](const Tensor& dout, const Tensor& x, Parameter weight, Parameter bias) {
    context.kernels.LinearBackwardWeight({.dout = dout,
                                          .x = x,
                                          .dweight = gradients[weight],
                                          .dbias = gradients[bias],
                                          .write_mode = write_mode});
  };
  backward(g.dz, a.fc1_out, kFc2Weight, kFc2Bias);
  backward(g.dfc1, a.fc_ln_out, kFc1Weight, kFc1Bias);
  backward(g.dy, a.attn_out, kOutProjWeight, kOutProjBias);
  backward(g.dqkv, a.attn_ln_out, kInProjWeight, kInProjBias);
}

}  // namespace sluice
