#include "core/model/standard_layers.h"

#include <ranges>

#include "core/model/layer_ops.h"

namespace sluice {
namespace {

// A lane on the kernels' own stream.
class InOrderLane : public GradientLane {
 public:
  explicit InOrderLane(Kernels& kernels) : kernels_(kernels) {}

  void LinearBackwardWeight(const LinearBackwardWeightArgs& args) override {
    kernels_.LinearBackwardWeight(args);
  }
  void LinearBackwardThroughRelu(const LinearBackwardInputArgs& behind,
                                 const LinearBackwardWeightArgs& in_front) override {
    kernels_.LinearBackwardInput(behind);
    kernels_.LinearBackwardWeight(in_front);
  }
  void LayerNormBackward(const LayerNormBackwardArgs& args, NormSlot) override {
    kernels_.LayerNormBackward(args);
  }
  void Join() override {}

 private:
  Kernels& kernels_;
};

std::unique_ptr<GradientLane> InOrderLaneOf(Kernels& kernels) {
  return kernels.gradient_lane() == nullptr ? std::make_unique<InOrderLane>(kernels) : nullptr;
}

}  // namespace

StandardLayers::StandardLayers(Kernels& kernels, TensorParallel& group)
    : kernels_(kernels),
      group_(group),
      in_order_(InOrderLaneOf(kernels)),
      lane_(in_order_ != nullptr ? *in_order_ : *kernels.gradient_lane()) {}

void StandardLayers::Forward(std::span<const LayerForwardArgs> layers) {
  for (const LayerForwardArgs& layer : layers) ForwardLayer(layer);
}

void StandardLayers::Backward(std::span<const LayerBackwardArgs> layers) {
  for (const LayerBackwardArgs& layer : std::views::reverse(layers)) BackwardLayer(layer);
}

void StandardLayers::BackwardWeight(std::span<const LayerBackwardWeightArgs> layers) {
  for (const LayerBackwardWeightArgs& layer : std::views::reverse(layers)) {
    kernels_.LinearBackwardWeight(Fc2BackwardWeight(layer));
    kernels_.LinearBackwardWeight(Fc1BackwardWeight(layer));
    kernels_.LinearBackwardWeight(OutProjBackwardWeight(layer));
    kernels_.LinearBackwardWeight(InProjBackwardWeight(layer));
  }
}

void StandardLayers::NormLinear(const LayerNormForwardArgs& norm, const LinearForwardArgs& linear) {
  LayerNormForwardArgs own = norm;
  own.out = group_.OwnRows(norm.out);
  kernels_.LayerNormForward(own);
  group_.GatherRows(norm.out);
  kernels_.LinearForward(linear);
}

void StandardLayers::RowParallelLinear(const LinearForwardArgs& args, const Tensor& partial) {
  if (group_.shard().count == 1) return kernels_.LinearForward(args);
  kernels_.LinearForward({.x = args.x, .weight = args.weight, .out = partial});
  group_.SumPartials(partial);
  kernels_.AddBiasResidual({.x = group_.OwnRows(partial),
                            .bias = args.bias,
                            .residual = args.residual,
                            .out = args.out});
}

void StandardLayers::ForwardLayer(const LayerForwardArgs& layer) {
  NormLinear(AttnLnForward(layer), InProjForward(layer));
  kernels_.CausalAttentionForward(AttentionForward(layer));
  RowParallelLinear(OutProjForward(layer), layer.scratch.partial);
  NormLinear(FcLnForward(layer), Fc1Forward(layer));
  RowParallelLinear(Fc2Forward(layer), layer.scratch.partial);
}

void StandardLayers::ColumnParallelNormBackward(const LinearBackwardInputArgs& linear,
                                                const LayerNormBackwardArgs& norm, NormSlot slot) {
  kernels_.LinearBackwardInput(linear);
  if (group_.shard().count > 1) group_.SumPartials(linear.dx);
  LayerNormBackwardArgs own = norm;
  own.dout = group_.OwnRows(norm.dout);
  lane_.LayerNormBackward(own, slot);
}

void StandardLayers::BackwardLayer(const LayerBackwardArgs& layer) {
  const LayerGradients& g = layer.gradients;
  const bool makes_weights = layer.write_modes.linears.has_value();
  const auto weight = [&](LinearBackwardWeightArgs (*args)(const LayerBackwardWeightArgs&)) {
    if (makes_weights) lane_.LinearBackwardWeight(args(WeightPart(layer)));
  };

  // The feed-forward part: fc2, the ReLU, fc1 and their layer norm.
  group_.GatherRows(g.dz);
  weight(Fc2BackwardWeight);
  if (makes_weights) {
    lane_.LinearBackwardThroughRelu(Fc2BackwardInput(layer), Fc1BackwardWeight(WeightPart(layer)));
  } else {
    kernels_.LinearBackwardInput(Fc2BackwardInput(layer));
  }
  LayerNormBackwardArgs fc_ln = FcLnBackward(layer);
  fc_ln.residual_gradient = group_.OwnRows(g.dz);
  fc_ln.dx = group_.OwnRows(g.dy);
  ColumnParallelNormBackward(Fc1BackwardInput(layer), fc_ln, NormSlot::kFirst);

  // The attention part: out_proj, attention, in_proj and their layer norm.
  group_.GatherRows(g.dy);
  weight(OutProjBackwardWeight);
  kernels_.LinearBackwardInput(OutProjBackwardInput(layer));
  kernels_.CausalAttentionBackward(AttentionBackward(layer));
  weight(InProjBackwardWeight);
  LayerNormBackwardArgs attn_ln = AttnLnBackward(layer);
  attn_ln.residual_gradient = group_.OwnRows(g.dy);
  ColumnParallelNormBackward(InProjBackwardInput(layer), attn_ln, NormSlot::kSecond);
  lane_.Join();
}

}  // namespace sluice
