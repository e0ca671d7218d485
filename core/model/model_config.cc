#include "core/model/model_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/base/suggest.h"

namespace sluice {

const std::vector<ModelConfig>& NamedModels() {
  // name, num_layers, hidden_size, seq_len, num_heads
  static const std::vector<ModelConfig> models = {
      {"test", 24, 256, 128, 4},
      {"test-l512", 512, 256, 128, 4},
      {"test-s1024", 48, 2048, 1024, 32},
      {"test-s2048", 48, 2048, 2048, 32},
      {"test-h3072", 48, 3072, 2048, 48},
      {"gpt2-1hm", 12, 768, 1024, 12},
      {"gpt2-3hm", 24, 1024, 1024, 16},
      {"gpt2-7hm", 36, 1280, 1024, 20},
      {"gpt2-1b", 48, 1600, 1024, 25},
      {"megatron-1b", 40, 1536, 1024, 16},
      {"megatron-2b", 54, 1920, 1024, 20},
      {"megatron-4b", 64, 2304, 1024, 24},
      {"megatron-8b", 72, 3072, 1024, 32},
      {"gpt3-1hm", 12, 768, 2048, 12},
      {"gpt3-3hm", 24, 1024, 2048, 16},
      {"gpt3-7hm", 24, 1536, 2048, 16},
      {"gpt3-1b", 24, 2048, 2048, 16},
      {"gpt3-2b", 32, 2560, 2048, 32},
      {"gpt3-6b", 32, 4096, 2048, 32},
      {"gpt3-13b", 40, 5120, 2048, 40},
      {"gpt3-44b", 96, 6144, 2048, 48},
      {"gpt3-175b", 96, 12288, 2048, 96},
      {"gpt3-13b-4096", 40, 5120, 4096, 40},
      {"gpt3-13b-6144", 40, 5120, 6144, 40},
      {"gpt3-13b-8192", 40, 5120, 8192, 40},
      {"gpt3-175b-megatron", 48, 6144, 2048, 384},
      {"gpt2-1hm-single-device", 10, 768, 2048, 12},
      {"gpt2-3hm-single-device", 8, 1024, 2048, 16},
      {"gpt2-7hm-single-device", 6, 1280, 2048, 20},
      {"gpt2-1b-single-device", 4, 1600, 2048, 25},
      {"gpt3-1b-single-device", 5, 2048, 2048, 16},
      {"gpt3-2b-single-device", 3, 2560, 2048, 32},
      {"gpt3-6b-single-device", 2, 4096, 2048, 32},
      {"gpt3-13b-single-device", 1, 5120, 2048, 40},
      {"gpt3-175b-single-node", 2, 12288, 2048, 96},
  };
  return models;
}

ModelConfig FindModel(std::string_view name) {
  std::vector<std::string> known;
  for (const ModelConfig& model : NamedModels()) {
    if (model.name == name) return model;
    known.push_back(model.name);
  }
  throw Error(UnknownName("model", name, known));
}

namespace {

// "1, 2, 4, 8": the divisors of n, the large ones left out when there are many.
std::string Divisors(int64_t n) {
  constexpr size_t kMost = 24;
  constexpr int64_t kLargest = 100'000;
  std::vector<int64_t> divisors;
  for (int64_t d = 1; d <= std::min(n, kLargest) && divisors.size() <= kMost; ++d) {
    if (n % d == 0) divisors.push_back(d);
  }
  if (divisors.size() <= kMost && n <= kLargest)
    return fmt::format("{}", fmt::join(divisors, ", "));
  if (divisors.size() > kMost) divisors.pop_back();
  return fmt::format("{}, ...", fmt::join(divisors, ", "));
}

}  // namespace

void Validate(const ModelConfig& config) {
  const auto require_positive = [](std::string_view what, int64_t value) {
    if (value < 1)
      throw Error(fmt::format("{} {} is not allowed: it must be 1 or more", what, value));
  };
  require_positive("num_layers", config.num_layers);
  require_positive("hidden_size", config.hidden_size);
  require_positive("seq_len", config.seq_len);
  require_positive("num_heads", config.num_heads);
  if (config.num_heads > config.hidden_size || config.hidden_size % config.num_heads != 0) {
    throw Error(fmt::format("hidden_size {} is not divisible by num_heads {}; valid: {}",
                            config.hidden_size, config.num_heads, Divisors(config.hidden_size)));
  }
}

std::vector<ParameterSpec> LayerParameters(const ModelConfig& config) {
  const int64_t h = config.hidden_size;
  const int64_t f = config.ffn_hidden_size();
  constexpr ParameterInit kLinear = ParameterInit::kLinear;
  constexpr ShardAxis kRows = ShardAxis::kRows;
  constexpr ShardAxis kReplicated = ShardAxis::kReplicated;
  return {
      {"attn_ln.weight", {h}, ParameterInit::kNormScale, 0, kReplicated},
      {"attn_ln.bias", {h}, ParameterInit::kNormShift, 0, kReplicated},
      {"attn.in_proj.weight", {3 * h, h}, kLinear, h, kRows},
      {"attn.in_proj.bias", {3 * h}, kLinear, h, kRows},
      {"attn.out_proj.weight", {h, h}, kLinear, h, ShardAxis::kColumns},
      {"attn.out_proj.bias", {h}, kLinear, h, kReplicated},
      {"fc_ln.weight", {h}, ParameterInit::kNormScale, 0, kReplicated},
      {"fc_ln.bias", {h}, ParameterInit::kNormShift, 0, kReplicated},
      {"fc1.weight", {f, h}, kLinear, h, kRows},
      {"fc1.bias", {f}, kLinear, h, kRows},
      {"fc2.weight", {h, f}, kLinear, f, ShardAxis::kColumns},
      {"fc2.bias", {h}, kLinear, f, kReplicated},
  };
}

int64_t NumParameters(const ModelConfig& config) {
  const std::string_view what = "the number of parameters";
  const int64_t h = config.hidden_size;
  const int64_t matrices = CheckedProduct(what, {12, h, h});
  const int64_t per_layer = CheckedSum(what, matrices, CheckedProduct(what, {13, h}));
  return CheckedProduct(what, {config.num_layers, per_layer});
}

std::string ParameterName(int64_t layer, std::string_view parameter) {
  return fmt::format("layers.{}.{}", layer, parameter);
}

}  // namespace sluice
