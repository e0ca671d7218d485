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

// A layer norm and the linear layer behind it, which needs the rows of the whole group.
void NormLinear(const LayerContext& context, const LayerNormForwardArgs& norm,
                const LinearForwardArgs& linear) {
  TensorParallel& group = context.tensor_parallel;
  if (!group.splits_sequence()) return context.kernels.NormLinearForward(norm, linear);
  LayerNormForwardArgs own = norm;
  own.out = group.OwnRows(norm.out);
  context.kernels.LayerNormForward(own);
  group.GatherRows(norm.out);
  context.kernels.LinearForward(linear);
}

struct LinearParameters {
  Parameter weight;
  Parameter bias;
};
constexpr LinearParameters kInProj = {kInProjWeight, kInProjBias};
constexpr LinearParameters kOutProj = {kOutProjWeight, kOutProjBias};
constexpr LinearParameters kFc1 = {kFc1Weight, kFc1Bias};
constexpr LinearParameters kFc2 = {kFc2Weight, kFc2Bias};

// The gradient of the input of in_proj or fc1, whose partial sums meet over the group, and of the
// layer norm in front.
void ColumnParallelNormBackward(const LayerContext& context, const LinearBackwardInputArgs& linear,
                                const LayerNormBackwardArgs& norm) {
  if (context.tensor_parallel.shard().count == 1) {
    return context.kernels.LinearNormBackwardInput(linear, norm);
  }
  context.kernels.LinearBackwardInput(linear);
  context.tensor_parallel.SumPartials(linear.dx);
  context.kernels.LayerNormBackward(norm);
}

// Makes the gradients of one linear layer's parameters, where a write mode is given.
struct WeightGradients {
  const LayerContext& context;
  const LayerParameterTensors& gradients;
  std::optional<WriteMode> write_mode;

  LinearBackwardWeightArgs ArgsOf(const LinearParameters& linear, const Tensor& dout,
                                  const Tensor& x) const {
    return {.dout = dout,
            .x = x,
            .dweight = gradients[linear.weight],
            .dbias = gradients[linear.bias],
            .write_mode = write_mode.value()};
  }
  void operator()(const LinearParameters& linear, const Tensor& dout, const Tensor& x) const {
    if (write_mode) context.kernels.LinearBackwardWeight(ArgsOf(linear, dout, x));
  }
};

}  // namespace

void LayerForward(const LayerContext& context, const LayerParameterTensors& weights,
                  int64_t prefix_len, const LayerActivations& a, const LayerScratch& scratch) {
  NormLinear(context,
             {.x = a.x,
              .weight = weights[kAttnLnWeight],
              .bias = weights[kAttnLnBias],
              .out = a.attn_ln_out,
              .mean = a.attn_ln_mean,
              .rstd = a.attn_ln_rstd},
             {.x = a.attn_ln_out,
              .weight = weights[kInProjWeight],
              .bias = weights[kInProjBias],
              .out = a.qkv.Rows(prefix_len, a.attn_out.num_rows())});
  context.kernels.CausalAttentionForward(
      {.qkv = a.qkv, .prefix_len = prefix_len, .out = a.attn_out, .lse = a.attn_lse});
  RowParallelLinear(context,
                    {.x = a.attn_out,
                     .weight = weights[kOutProjWeight],
                     .bias = weights[kOutProjBias],
                     .residual = a.x,
                     .out = a.y},
                    scratch.partial);
  NormLinear(context,
             {.x = a.y,
              .weight = weights[kFcLnWeight],
              .bias = weights[kFcLnBias],
              .out = a.fc_ln_out,
              .mean = a.fc_ln_mean,
              .rstd = a.fc_ln_rstd},
             {.x = a.fc_ln_out,
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
                        const LayerParameterTensors& gradients, const LayerWriteModes& write_modes,
                        const Tensor& dx) {
  Kernels& kernels = context.kernels;
  TensorParallel& group = context.tensor_parallel;
  const WeightGradients weight_gradients = {context, gradients, write_modes.linears};
  kernels.BeginWeightOverlap();
  group.GatherRows(g.dz);
  weight_gradients(kFc2, g.dz, a.fc1_out);
  const LinearBackwardInputArgs through_relu = {
      .dout = g.dz, .weight = weights[kFc2Weight], .relu_out = a.fc1_out, .dx = g.dfc1};
  if (write_modes.linears) {
    kernels.LinearBackwardThroughRelu(through_relu,
                                      weight_gradients.ArgsOf(kFc1, g.dfc1, a.fc_ln_out));
  } else {
    kernels.LinearBackwardInput(through_relu);
  }
  ColumnParallelNormBackward(context,
                             {.dout = g.dfc1, .weight = weights[kFc1Weight], .dx = scratch.dhidden},
                             {.dout = group.OwnRows(scratch.dhidden),
                              .x = a.y,
                              .weight = weights[kFcLnWeight],
                              .mean = a.fc_ln_mean,
                              .rstd = a.fc_ln_rstd,
                              .residual_gradient = group.OwnRows(g.dz),
                              .dx = group.OwnRows(g.dy),
                              .dweight = gradients[kFcLnWeight],
                              .dbias = gradients[kFcLnBias],
                              .write_mode = write_modes.norms});
  group.GatherRows(g.dy);
  weight_gradients(kOutProj, g.dy, a.attn_out);
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
  weight_gradients(kInProj, g.dqkv, a.attn_ln_out);
  ColumnParallelNormBackward(
      context, {.dout = g.dqkv, .weight = weights[kInProjWeight], .dx = scratch.dhidden},
      {.dout = group.OwnRows(scratch.dhidden),
       .x = a.x,
       .weight = weights[kAttnLnWeight],
       .mean = a.attn_ln_mean,
       .rstd = a.attn_ln_rstd,
       .residual_gradient = group.OwnRows(g.dy),
       .dx = dx,
       .dweight = gradients[kAttnLnWeight],
       .dbias = gradients[kAttnLnBias],
       .write_mode = write_modes.norms});
  kernels.EndWeightOverlap();
}

void LayerBackwardWeight(const LayerContext& context, const LayerActivations& a,
                         const LayerGradients& g, const LayerParameterTensors& gradients,
                         WriteMode write_mode) {
  const WeightGradients backward = {context, gradients, write_mode};
  backward(kFc2, g.dz, a.fc1_out);
  backward(kFc1, g.dfc1, a.fc_ln_out);
  backward(kOutProj, g.dy, a.attn_out);
  backward(kInProj, g.dqkv, a.attn_ln_out);
}

}  // namespace sluice
