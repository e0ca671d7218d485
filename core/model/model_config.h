// The shape of the model: a stack of pre-norm decoder layers (docs/model.md), and the models with
// names.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor/tensor.h"

namespace sluice {

struct ModelConfig {
  std::string name;
  int64_t num_layers = 0;
  int64_t hidden_size = 0;
  int64_t seq_len = 0;
  int64_t num_heads = 0;

  int64_t head_dim() const { return hidden_size / num_heads; }
  int64_t ffn_hidden_size() const { return 4 * hidden_size; }
};

// Returns the named model; throws Error with a suggestion and the list of names.
ModelConfig FindModel(std::string_view name);

// All named models, small to large families as documented.
const std::vector<ModelConfig>& NamedModels();

// Throws Error unless every number is positive and num_heads divides hidden_size (naming both, and
// the valid values).
void Validate(const ModelConfig& config);

// How the initial values of a parameter are drawn (u uniform in [-1, 1)).
enum class ParameterInit {
  kLinear,     // u / sqrt(fan_in)
  kNormScale,  // 1 + 0.1 u
  kNormShift,  // 0.1 u
};

// The axis along which tensor parallelism splits a parameter.
enum class ShardAxis {
  kReplicated,
  kRows,     // the output features: in_proj (by heads) and fc1, weight and bias
  kColumns,  // the input features: the weights of out_proj and fc2
};

// One parameter tensor of a layer.
struct ParameterSpec {
  std::string name;  // as in checkpoints, "attn.in_proj.weight"
  Shape shape;       // whole, not sharded
  ParameterInit init;
  int64_t fan_in;  // of the linear layer that it belongs to; 0 for layer norms
  ShardAxis shard_axis;

  bool is_layer_norm() const { return init != ParameterInit::kLinear; }
};

// The twelve parameters of a layer, always in this order:
//   attn_ln.weight, attn_ln.bias, attn.in_proj.weight, attn.in_proj.bias, attn.out_proj.weight,
//   attn.out_proj.bias, fc_ln.weight, fc_ln.bias, fc1.weight, fc1.bias, fc2.weight, fc2.bias
inline constexpr int kNumLayerParameters = 12;
std::vector<ParameterSpec> LayerParameters(const ModelConfig& config);

// Elements of all parameters of the stack; throws Error when they overflow 64 bits.
int64_t NumParameters(const ModelConfig& config);

// "layers.3.fc1.weight".
std::string ParameterName(int64_t layer, std::string_view parameter);

}  // namespace sluice
