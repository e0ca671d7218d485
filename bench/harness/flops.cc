#include "bench/harness/flops.h"

#include "core/base/checked_math.h"

namespace sluice {
namespace {

constexpr const char* kWhat = "the number of floating-point operations";

int64_t CausalAttentionFlops(const AttentionSize& size, const Slice& slice, int64_t num_products) {
  return CheckedProduct(kWhat, {2, num_products, size.batch_size, size.num_heads, size.head_dim,
                                NumVisiblePairs(slice)});
}

// The four linear layers of all layers, in any one pass.
int64_t LayersLinearFlops(const ModelConfig& config, int64_t batch_size, const Slice& slice) {
  const int64_t num_tokens = CheckedProduct(kWhat, {batch_size, slice.len});
  int64_t sum = 0;
  for (const ParameterSpec& parameter : LayerParameters(config)) {
    const bool is_weight = parameter.shape.rank() == 2;
    if (!is_weight) continue;
    sum = CheckedSum(kWhat, sum, LinearFlops({num_tokens, parameter.shape[1], parameter.shape[0]}));
  }
  return CheckedProduct(kWhat, {config.num_layers, sum});
}

AttentionSize GetAttentionSize(const ModelConfig& config, int64_t batch_size) {
  return {batch_size, config.num_heads, config.head_dim()};
}

}  // namespace

int64_t LinearFlops(const LinearSize& size) {
  return CheckedProduct(kWhat, {2, size.num_tokens, size.in_features, size.out_features});
}

int64_t NumVisiblePairs(const Slice& slice) {
  const int64_t within = CheckedProduct(kWhat, {slice.len, slice.len + 1}) / 2;
  return CheckedSum(kWhat, within, CheckedProduct(kWhat, {slice.begin, slice.len}));
}

int64_t CausalAttentionForwardFlops(const AttentionSize& size, const Slice& slice) {
  return CausalAttentionFlops(size, slice, 2);
}

int64_t CausalAttentionBackwardFlops(const AttentionSize& size, const Slice& slice) {
  return CausalAttentionFlops(size, slice, 4);
}

int64_t ForwardFlops(const ModelConfig& config, int64_t batch_size, const Slice& slice) {
  const int64_t attention =
      CausalAttentionForwardFlops(GetAttentionSize(config, batch_size), slice);
  return CheckedSum(kWhat, LayersLinearFlops(config, batch_size, slice),
                    CheckedProduct(kWhat, {config.num_layers, attention}));
}

int64_t BackwardInputFlops(const ModelConfig& config, int64_t batch_size, const Slice& slice) {
  const int64_t attention =
      CausalAttentionBackwardFlops(GetAttentionSize(config, batch_size), slice);
  return CheckedSum(kWhat, LayersLinearFlops(config, batch_size, slice),
                    CheckedProduct(kWhat, {config.num_layers, attention}));
}

int64_t BackwardWeightFlops(const ModelConfig& config, int64_t batch_size, const Slice& slice) {
  return LayersLinearFlops(config, batch_size, slice);
}

int64_t BackwardFlops(const ModelConfig& config, int64_t batch_size, const Slice& slice) {
  return CheckedSum(kWhat, BackwardInputFlops(config, batch_size, slice),
                    BackwardWeightFlops(config, batch_size, slice));
}

int64_t StepFlops(const ModelConfig& config, int64_t batch_size, int64_t prefix_len) {
  const Slice sequence = {prefix_len, config.seq_len};
  const int64_t not_needed = CheckedProduct(
      kWhat, {config.num_layers, 2, 2, batch_size, config.hidden_size, prefix_len, config.seq_len});
  return CheckedSum(kWhat, ForwardFlops(config, batch_size, sequence),
                    BackwardFlops(config, batch_size, sequence)) -
         not_needed;
}

}  // namespace sluice
