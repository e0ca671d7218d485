#include "parallel/exec/unit_layout.h"

#include <algorithm>

#include "core/model/initial_values.h"

namespace sluice {

UnitLayout::UnitLayout(const JobPlan& plan, const RankCoordinates& rank)
    : plan_(plan),
      shard_(plan.ShardOf(rank)),
      storage_(StorageDType(plan.config.precision)),
      accumulator_(AccumulatorDType(plan.config.precision)),
      batch_size_(plan.micro_batch_size),
      hidden_size_(plan.config.model.hidden_size),
      num_heads_(plan.config.model.num_heads / shard_.count),
      head_dim_(plan.config.model.head_dim()),
      ffn_hidden_size_(plan.config.model.ffn_hidden_size() / shard_.count) {
  const std::vector<Slice>& slices = plan.config.slices;
  const auto longest = std::max_element(
      slices.begin(), slices.end(), [](const Slice& a, const Slice& b) { return a.len < b.len; });
  longest_slice_ = static_cast<int>(longest - slices.begin());
}

int64_t UnitLayout::own_len(int index) const {
  return plan_.splits_sequence() ? slice(index).len / shard_.count : slice(index).len;
}

LayerActivations UnitLayout::Kept(Carver& carver, int index) const {
  const int64_t len = slice(index).len;
  const Shape hidden = {len, batch_size_, hidden_size_};
  const Shape own_tokens = {own_len(index), batch_size_};
  LayerActivations a;
  a.attn_ln_out = carver.Take(storage_, hidden);
  a.attn_ln_mean = carver.Take(accumulator_, own_tokens);
  a.attn_ln_rstd = carver.Take(accumulator_, own_tokens);
  a.attn_out = carver.Take(storage_, {len, batch_size_, num_heads_, head_dim_});
  a.attn_lse = carver.Take(accumulator_, {len, batch_size_, num_heads_});
  a.y = OwnHidden(carver, index);
  a.fc_ln_out = carver.Take(storage_, hidden);
  a.fc_ln_mean = carver.Take(accumulator_, own_tokens);
  a.fc_ln_rstd = carver.Take(accumulator_, own_tokens);
  a.fc1_out = carver.Take(storage_, {len, batch_size_, ffn_hidden_size_});
  return a;
}

Tensor UnitLayout::OwnHidden(Carver& carver, int index) const {
  return carver.Take(storage_, {own_len(index), batch_size_, hidden_size_});
}

Tensor UnitLayout::Hidden(Carver& carver, int index) const {
  return carver.Take(storage_, {slice(index).len, batch_size_, hidden_size_});
}

Tensor UnitLayout::Projection(Carver& carver, int index) const {
  return carver.Take(accumulator_, {own_len(index), batch_size_, hidden_size_});
}

Tensor UnitLayout::Qkv(Carver& carver) const {
  const int64_t num_positions = plan_.config.prefix_len + plan_.config.model.seq_len;
  return carver.Take(storage_, {num_positions, batch_size_, num_heads_, 3, head_dim_});
}

Tensor UnitLayout::KeyValueAccumulator(Carver& carver) const {
  const int64_t num_positions = plan_.config.prefix_len + plan_.config.model.seq_len;
  return carver.Take(accumulator_, {num_positions, batch_size_, num_heads_, 2, head_dim_});
}

LayerGradients UnitLayout::Gradients(Carver& carver, int index) const {
  const int64_t len = slice(index).len;
  LayerGradients g;
  g.dfc1 = carver.Take(storage_, {len, batch_size_, ffn_hidden_size_});
  g.dy = Hidden(carver, index);
  g.dqkv = carver.Take(storage_, {len, batch_size_, num_heads_, 3, head_dim_});
  return g;
}

LayerScratch UnitLayout::Scratch(Carver& carver, int index) const {
  LayerScratch scratch;
  if (shard_.count > 1) scratch.partial = Hidden(carver, index);
  if (plan_.config.pass == Pass::kForward) return scratch;
  scratch.dhidden = Hidden(carver, index);
  scratch.dattn = carver.Take(storage_, {slice(index).len, batch_size_, num_heads_, head_dim_});
  return scratch;
}

LayerParameterTensors UnitLayout::Parameters(Carver& carver, DType linear_type) const {
  const std::vector<ParameterSpec> specs = LayerParameters(plan_.config.model);
  LayerParameterTensors tensors;
  for (size_t i = 0; i < specs.size(); ++i) {
    const Block block = ShardBlock(specs[i], shard_);
    const Shape shape = specs[i].shape.rank() == 1 ? Shape{block.num_rows}
                                                   : Shape{block.num_rows, block.num_columns};
    tensors[i] = carver.Take(specs[i].is_layer_norm() ? accumulator_ : linear_type, shape);
  }
  return tensors;
}

LayerParameterTensors UnitLayout::Weights(Carver& carver) const {
  return Parameters(carver, storage_);
}

LayerParameterTensors UnitLayout::WeightGradients(Carver& carver) const {
  return Parameters(carver, GradDType(plan_.config));
}

int64_t UnitLayout::QkvRowsBytes(int index) const {
  return slice(index).len * batch_size_ * num_heads_ * 3 * head_dim_ * SizeOf(storage_);
}

bool UnitLayout::needs_key_value_accumulator() const {
  return plan_.config.slices.size() > 1 || plan_.config.prefix_len > 0;
}

KernelLimits UnitLayout::Limits() const {
  const int64_t widest = std::max(ffn_hidden_size_, 3 * num_heads_ * head_dim_);
  return {.max_tokens = slice(longest_slice_).len * batch_size_,
          .max_seq_len = plan_.config.prefix_len + plan_.config.model.seq_len,
          .max_batch_size = batch_size_,
          .hidden_size = hidden_size_,
          .num_heads = num_heads_,
          .head_dim = head_dim_,
          .max_features = std::max(widest, hidden_size_)};
}

}  // namespace sluice
