#include "core/reference/transformer.h"

#include <limits>
#include <utility>

#include "core/base/check.h"

namespace sluice::reference {
namespace {

struct LayerShape {
  LayerNormShape norm;
  AttentionShape attention;
  LinearShape in_proj, out_proj, fc1, fc2;
};

LayerShape ShapeOf(const Problem& problem) {
  const int64_t num_tokens = problem.config.seq_len * problem.batch_size;
  const int64_t hidden_size = problem.config.hidden_size;
  const int64_t ffn_hidden_size = problem.config.ffn_hidden_size();
  return {
      .norm = {num_tokens, hidden_size},
      .attention = {.slice_len = problem.config.seq_len,
                    .prefix_len = problem.prefix_len,
                    .batch_size = problem.batch_size,
                    .num_heads = problem.config.num_heads,
                    .head_dim = problem.config.head_dim()},
      .in_proj = {num_tokens, hidden_size, 3 * hidden_size},
      .out_proj = {num_tokens, hidden_size, hidden_size},
      .fc1 = {num_tokens, hidden_size, ffn_hidden_size},
      .fc2 = {num_tokens, ffn_hidden_size, hidden_size},
  };
}

// What the forward of a layer computes, in order.
struct LayerActivations {
  Values x;          // [L, B, H]
  Values attn_ln;    // [L, B, H]
  Values qkv;        // [P + L, B, 3H]
  Values attention;  // [L, B, H]
  Values y;          // [L, B, H]
  Values fc_ln;      // [L, B, H]
  Values relu;       // [L, B, F]
  Values z;          // [L, B, H]
};

LayerActivations LayerForward(const LayerShape& shape, const NamedValues& weights,
                              const Values& prefix, Values x) {
  LayerActivations a;
  a.x = std::move(x);
  a.attn_ln =
      LayerNorm(shape.norm, a.x, weights.at("attn_ln.weight"), weights.at("attn_ln.bias")).out;
  const Values qkv = Linear(shape.in_proj, a.attn_ln, weights.at("attn.in_proj.weight"),
                            weights.at("attn.in_proj.bias"));
  a.qkv = prefix;
  a.qkv.insert(a.qkv.end(), qkv.begin(), qkv.end());
  a.attention = CausalAttention(shape.attention, a.qkv).out;
  a.y = Add(a.x, Linear(shape.out_proj, a.attention, weights.at("attn.out_proj.weight"),
                        weights.at("attn.out_proj.bias")));
  a.fc_ln = LayerNorm(shape.norm, a.y, weights.at("fc_ln.weight"), weights.at("fc_ln.bias")).out;
  a.relu = Relu(Linear(shape.fc1, a.fc_ln, weights.at("fc1.weight"), weights.at("fc1.bias")));
  a.z = Add(a.y, Linear(shape.fc2, a.relu, weights.at("fc2.weight"), weights.at("fc2.bias")));
  return a;
}

struct LayerGradients {
  Values x;
  Values prefix;
  NamedValues parameters;
};

LayerGradients LayerBackward(const LayerShape& shape, const NamedValues& weights,
                             const LayerActivations& a, const Values& dz) {
  LinearGradients fc2 = LinearBackward(shape.fc2, a.relu, weights.at("fc2.weight"), dz);
  LinearGradients fc1 =
      LinearBackward(shape.fc1, a.fc_ln, weights.at("fc1.weight"), ReluBackward(a.relu, fc2.x));
  LayerNormGradients fc_ln = LayerNormBackward(shape.norm, a.y, weights.at("fc_ln.weight"), fc1.x);
  const Values dy = Add(dz, fc_ln.x);
  LinearGradients out_proj =
      LinearBackward(shape.out_proj, a.attention, weights.at("attn.out_proj.weight"), dy);
  Values dprefix = CausalAttentionBackward(shape.attention, a.qkv, out_proj.x);
  const auto slice_begin = dprefix.begin() + shape.attention.prefix_len *
                                                 shape.attention.batch_size *
                                                 shape.in_proj.out_features;
  const Values dqkv(slice_begin, dprefix.end());
  dprefix.erase(slice_begin, dprefix.end());
  LinearGradients in_proj =
      LinearBackward(shape.in_proj, a.attn_ln, weights.at("attn.in_proj.weight"), dqkv);
  LayerNormGradients attn_ln =
      LayerNormBackward(shape.norm, a.x, weights.at("attn_ln.weight"), in_proj.x);

  LayerGradients gradients;
  gradients.x = Add(dy, attn_ln.x);
  gradients.prefix = std::move(dprefix);
  gradients.parameters = {
      {"attn_ln.weight", std::move(attn_ln.weight)},
      {"attn_ln.bias", std::move(attn_ln.bias)},
      {"attn.in_proj.weight", std::move(in_proj.weight)},
      {"attn.in_proj.bias", std::move(in_proj.bias)},
      {"attn.out_proj.weight", std::move(out_proj.weight)},
      {"attn.out_proj.bias", std::move(out_proj.bias)},
      {"fc_ln.weight", std::move(fc_ln.weight)},
      {"fc_ln.bias", std::move(fc_ln.bias)},
      {"fc1.weight", std::move(fc1.weight)},
      {"fc1.bias", std::move(fc1.bias)},
      {"fc2.weight", std::move(fc2.weight)},
      {"fc2.bias", std::move(fc2.bias)},
  };
  return gradients;
}

// The activations of every layer.
std::vector<LayerActivations> StackForward(const Problem& problem) {
  const auto num_layers = static_cast<size_t>(problem.config.num_layers);
  SLUICE_CHECK_GE(num_layers, 1u);
  SLUICE_CHECK_EQ(problem.weights.size(), num_layers);
  SLUICE_CHECK_EQ(problem.prefix.size(), problem.prefix_len == 0 ? 0 : num_layers);
  const LayerShape shape = ShapeOf(problem);
  std::vector<LayerActivations> layers;
  for (size_t i = 0; i < num_layers; ++i) {
    const Values prefix = problem.prefix.empty() ? Values() : problem.prefix[i];
    layers.push_back(LayerForward(shape, problem.weights[i], prefix,
                                  layers.empty() ? problem.input : layers.back().z));
  }
  return layers;
}

}  // namespace

Output Forward(const Problem& problem) {
  std::vector<LayerActivations> layers = StackForward(problem);
  Output result;
  for (LayerActivations& layer : layers) result.qkv.push_back(std::move(layer.qkv));
  result.output = std::move(layers.back().z);
  return result;
}

Step ForwardBackward(const Problem& problem) {
  const LayerShape shape = ShapeOf(problem);
  std::vector<LayerActivations> layers = StackForward(problem);
  for (const ReluFlip& flip : problem.flips) {
    double& relu =
        layers.at(static_cast<size_t>(flip.layer)).relu.at(static_cast<size_t>(flip.element));
    relu = relu > 0 ? 0 : std::numeric_limits<double>::min();
  }
  Step step;
  step.output = layers.back().z;
  step.loss = Loss(step.output, problem.projection);
  step.gradients.resize(layers.size());
  step.prefix_gradients.resize(problem.prefix.size());

  Values gradient = LossBackward(static_cast<int64_t>(step.output.size()), problem.projection);
  for (size_t i = layers.size(); i-- > 0;) {
    LayerGradients layer = LayerBackward(shape, problem.weights[i], layers[i], gradient);
    step.gradients[i] = std::move(layer.parameters);
    if (!problem.prefix.empty()) step.prefix_gradients[i] = std::move(layer.prefix);
    gradient = std::move(layer.x);
  }
  step.input_gradient = std::move(gradient);
  return step;
}

}  // namespace sluice::reference
