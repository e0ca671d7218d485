#include "core/model/small_layers.h"

#include <array>
#include <optional>
#include <ranges>
#include <utility>

#include "core/base/check.h"
#include "core/model/layer_ops.h"

namespace sluice {
namespace {

// Gradients of linear layers' parameters on their way to the kernel that makes them.
class Weights {
 public:
  void Add(const LinearBackwardWeightArgs& args) { args_[size_++] = args; }
  PiggybackedWeights span() const { return {args_.data(), size_}; }

 private:
  std::array<LinearBackwardWeightArgs, kMaxPiggybackedWeights> args_;
  size_t size_ = 0;
};

}  // namespace

// One backward of a stage: the kernels, and what one layer leaves for the next.
class SmallLayers::Chain {
 public:
  explicit Chain(SmallLayers& layers) : l_(layers) {}

  void Run(const LayerBackwardArgs& layer) {
    const bool makes_weights = layer.write_modes.linears.has_value();
    Weights weights;
    const auto add = [&](Weights& to, auto args) {
      if (makes_weights) to.Add(args(WeightPart(layer)));
    };
    // fc2 first turns the gradient of the layer norm behind it into its own operand.
    Input(Fc2BackwardInput(layer), std::exchange(attn_ln_, std::nullopt), {});
    Input(Fc1BackwardInput(layer), std::nullopt, std::exchange(in_proj_, {}));
    Input(OutProjBackwardInput(layer), FcLnBackward(layer), {});
    // Attention takes long enough to hide the gradients of three weights.
    add(weights, Fc2BackwardWeight);
    add(weights, Fc1BackwardWeight);
    add(weights, OutProjBackwardWeight);
    Attention(AttentionBackward(layer), weights);
    Input(InProjBackwardInput(layer), std::nullopt, {});
    attn_ln_ = AttnLnBackward(layer);
    add(in_proj_, InProjBackwardWeight);
  }

  // What the first layer of the stage leaves.
  void Finish() {
    if (attn_ln_) l_.kernels_.LayerNormBackward(*attn_ln_);
    l_.small_.WeightGradients(in_proj_.span(), Next());
  }

 private:
  ChainPlace Next() { return std::exchange(place_, ChainPlace::kInside); }

  void Input(const LinearBackwardInputArgs& linear,
             const std::optional<LayerNormBackwardArgs>& norm, const Weights& weights) {
    l_.small_.InputGradient({.linear = linear, .norm = norm, .weights = weights.span()}, Next());
  }

  void Attention(const CausalAttentionBackwardArgs& args, const Weights& weights) {
    if (l_.choice_.backward_attention)
      return l_.small_.AttentionGradient(args, weights.span(), Next());
    l_.small_.WeightGradients(weights.span(), Next());
    l_.kernels_.CausalAttentionBackward(args);
    place_ = ChainPlace::kFirst;
  }

  SmallLayers& l_;
  ChainPlace place_ = ChainPlace::kFirst;
  std::optional<LayerNormBackwardArgs> attn_ln_;  // of the layer behind
  Weights in_proj_;                               // of the layer behind
};

SmallLayers::SmallLayers(SmallLayerKernels& small, Kernels& kernels, const SmallLayerChoice& choice)
    : small_(small), kernels_(kernels), choice_(choice), standard_(kernels, no_group_) {}

void SmallLayers::Forward(std::span<const LayerForwardArgs> layers) {
  if (!choice_.forward) return standard_.Forward(layers);
  for (const LayerForwardArgs& layer : layers) {
    small_.NormLinearForward(AttnLnForward(layer), InProjForward(layer));
    if (choice_.forward_attention) {
      small_.AttentionForward(AttentionForward(layer));
    } else {
      kernels_.CausalAttentionForward(AttentionForward(layer));
    }
    small_.LinearForward(OutProjForward(layer));
    small_.NormLinearForward(FcLnForward(layer), Fc1Forward(layer));
    small_.LinearForward(Fc2Forward(layer));
  }
}

void SmallLayers::Backward(std::span<const LayerBackwardArgs> layers) {
  if (!choice_.backward) return standard_.Backward(layers);
  Chain chain(*this);
  for (const LayerBackwardArgs& layer : std::views::reverse(layers)) chain.Run(layer);
  chain.Finish();
}

void SmallLayers::BackwardWeight(std::span<const LayerBackwardWeightArgs> layers) {
  standard_.BackwardWeight(layers);
}

std::unique_ptr<LayerRunner> MakeLayerRunner(Kernels& kernels, TensorParallel& group,
                                             SmallLayerKernels* small,
                                             const SmallLayerChoice& choice) {
  if (!choice.any()) return std::make_unique<StandardLayers>(kernels, group);
  SLUICE_CHECK(small != nullptr);
  SLUICE_CHECK_EQ(group.shard().count, 1);
  return std::make_unique<SmallLayers>(*small, kernels, choice);
}

}  // namespace sluice
