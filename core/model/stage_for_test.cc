#include "core/model/stage_for_test.h"

#include <fmt/format.h>

#include "core/base/rng.h"

namespace sluice {
namespace {

constexpr int64_t kLen = 5, kBatch = 2, kHeads = 2, kHeadDim = 4, kHidden = 8, kFfn = 32;
const Shape kHiddenShape = {kLen, kBatch, kHidden};

}  // namespace

Tensor StageForTest::Take(const Shape& shape) {
  const RandomStream stream(1, fmt::format("tensor {}", memory_.size()));
  std::vector<double>& values = memory_.emplace_back(static_cast<size_t>(shape.num_elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = stream.Normal(i);
  return Tensor(values.data(), DType::kFloat64, shape);
}

LayerParameterTensors StageForTest::TakeParameters() {
  LayerParameterTensors tensors;
  tensors[kAttnLnWeight] = Take({kHidden});
  tensors[kAttnLnBias] = Take({kHidden});
  tensors[kInProjWeight] = Take({3 * kHidden, kHidden});
  tensors[kInProjBias] = Take({3 * kHidden});
  tensors[kOutProjWeight] = Take({kHidden, kHidden});
  tensors[kOutProjBias] = Take({kHidden});
  tensors[kFcLnWeight] = Take({kHidden});
  tensors[kFcLnBias] = Take({kHidden});
  tensors[kFc1Weight] = Take({kFfn, kHidden});
  tensors[kFc1Bias] = Take({kFfn});
  tensors[kFc2Weight] = Take({kHidden, kFfn});
  tensors[kFc2Bias] = Take({kHidden});
  return tensors;
}

StageForTest::StageForTest(int num_layers) {
  Tensor x = Take(kHiddenShape);
  for (int i = 0; i < num_layers; ++i) {
    weights_.push_back(TakeParameters());
    weight_gradients_.push_back(TakeParameters());
    activations_.push_back({.x = x,
                            .attn_ln_out = Take(kHiddenShape),
                            .attn_ln_mean = Take({kLen * kBatch}),
                            .attn_ln_rstd = Take({kLen * kBatch}),
                            .qkv = Take({kLen, kBatch, kHeads, 3, kHeadDim}),
                            .attn_out = Take({kLen, kBatch, kHeads, kHeadDim}),
                            .attn_lse = Take({kLen, kBatch, kHeads}),
                            .y = Take(kHiddenShape),
                            .fc_ln_out = Take(kHiddenShape),
                            .fc_ln_mean = Take({kLen * kBatch}),
                            .fc_ln_rstd = Take({kLen * kBatch}),
                            .fc1_out = Take({kLen, kBatch, kFfn}),
                            .z = Take(kHiddenShape)});
    x = activations_.back().z;
  }
  gradients_ = {.dz = {},
                .dfc1 = Take({kLen, kBatch, kFfn}),
                .dy = Take(kHiddenShape),
                .dqkv = Take({kLen, kBatch, kHeads, 3, kHeadDim})};
  scratch_ = {.partial = {},
              .dhidden = Take(kHiddenShape),
              .dattn = Take({kLen, kBatch, kHeads, kHeadDim})};
  const Tensor turns[] = {Take(kHiddenShape), Take(kHiddenShape)};
  for (int i = 0; i < num_layers; ++i) output_gradients_.push_back(turns[i % 2]);
  output_gradients_.push_back(Take(kHiddenShape));
}

KernelLimits StageForTest::Limits() {
  return {.max_tokens = kLen * kBatch,
          .max_seq_len = kLen,
          .max_batch_size = kBatch,
          .hidden_size = kHidden,
          .num_heads = kHeads,
          .head_dim = kHeadDim,
          .max_features = kFfn};
}

std::vector<LayerForwardArgs> StageForTest::ForwardArgs() const {
  std::vector<LayerForwardArgs> args;
  for (size_t i = 0; i < weights_.size(); ++i) {
    args.push_back({.weights = weights_[i],
                    .prefix_len = 0,
                    .activations = activations_[i],
                    .scratch = scratch_});
  }
  return args;
}

std::vector<LayerBackwardArgs> StageForTest::BackwardArgs(std::optional<WriteMode> linears) const {
  std::vector<LayerBackwardArgs> args;
  for (size_t i = 0; i < weights_.size(); ++i) {
    LayerGradients gradients = gradients_;
    gradients.dz = output_gradients_[i + 1];
    args.push_back(
        {.weights = weights_[i],
         .weight_gradients = weight_gradients_[i],
         .prefix_len = 0,
         .activations = activations_[i],
         .gradients = gradients,
         .key_value = {},
         .scratch = scratch_,
         .write_modes = {.norms = linears.value_or(WriteMode::kOverwrite), .linears = linears},
         .dx = output_gradients_[i]});
  }
  return args;
}

std::vector<LayerBackwardWeightArgs> StageForTest::BackwardWeightArgs() const {
  std::vector<LayerBackwardWeightArgs> args;
  for (const LayerBackwardArgs& layer : BackwardArgs(std::nullopt)) {
    args.push_back({.weight_gradients = layer.weight_gradients,
                    .activations = layer.activations,
                    .gradients = layer.gradients});
  }
  return args;
}

std::vector<double> StageForTest::Values() const {
  std::vector<double> all;
  for (const std::vector<double>& values : memory_) {
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

}  // namespace sluice
