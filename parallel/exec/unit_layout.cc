#include "parallel/exec/unit_layout.h"

#include <algorithm>
#include <map>

#include "core/model/initial_values.h"

namespace sluice {
namespace {

// A tensor without memory.
Tensor Shaped(DType dtype, const Shape& shape) { return Tensor(nullptr, dtype, shape); }

// The extents that all units of a rank have, and its element types.
struct RankSizes {
  RankSizes(const JobPlan& plan, ShardIndex shard)
      : storage(StorageDType(plan.config.precision)),
        accumulator(AccumulatorDType(plan.config.precision)),
        num_positions(plan.config.prefix_len + plan.config.model.seq_len),
        batch_size(plan.micro_batch_size),
        hidden_size(plan.config.model.hidden_size),
        num_heads(plan.config.model.num_heads / shard.count),
        head_dim(plan.config.model.head_dim()),
        ffn_hidden_size(plan.config.model.ffn_hidden_size() / shard.count) {}

  DType storage, accumulator;
  int64_t num_positions, batch_size, hidden_size, num_heads, head_dim, ffn_hidden_size;
};

SliceLayout LayOutSlice(const JobPlan& plan, ShardIndex shard, const RankSizes& r, int64_t len) {
  const int64_t own_len = plan.splits_sequence() ? len / shard.count : len;
  const Tensor hidden = Shaped(r.storage, {len, r.batch_size, r.hidden_size});
  const Tensor own_hidden = Shaped(r.storage, {own_len, r.batch_size, r.hidden_size});
  const Tensor own_tokens = Shaped(r.accumulator, {own_len, r.batch_size});
  const Tensor heads = Shaped(r.storage, {len, r.batch_size, r.num_heads, r.head_dim});
  const Tensor ffn_hidden = Shaped(r.storage, {len, r.batch_size, r.ffn_hidden_size});
  const Tensor qkv = Shaped(r.storage, {len, r.batch_size, r.num_heads, 3, r.head_dim});
  LayerScratch scratch;
  if (shard.count > 1) scratch.partial = hidden;
  if (plan.config.pass == Pass::kStep) {
    scratch.dhidden = hidden;
    scratch.dattn = heads;
  }
  return {.kept = TensorBlock<LayerActivations>(
              {.attn_ln_out = hidden,
               .attn_ln_mean = own_tokens,
               .attn_ln_rstd = own_tokens,
               .attn_out = heads,
               .attn_lse = Shaped(r.accumulator, {len, r.batch_size, r.num_heads}),
               .y = own_hidden,
               .fc_ln_out = hidden,
               .fc_ln_mean = own_tokens,
               .fc_ln_rstd = own_tokens,
               .fc1_out = ffn_hidden}),
          .gradients = TensorBlock<LayerGradients>({.dfc1 = ffn_hidden, .dy = hidden, .dqkv = qkv}),
          .scratch = TensorBlock<LayerScratch>(scratch),
          .own_hidden = TensorBlock<Tensor>(own_hidden),
          .hidden = TensorBlock<Tensor>(hidden),
          .projection = TensorBlock<Tensor>(Shaped(r.accumulator, own_hidden.shape())),
          .qkv_rows_bytes = qkv.num_bytes()};
}

// One layer's parameters, the linear layers' in `linear_type`.
TensorBlock<LayerParameterTensors> LayOutParameters(const JobPlan& plan, ShardIndex shard,
                                                    DType linear_type) {
  const std::vector<ParameterSpec> specs = LayerParameters(plan.config.model);
  const DType norm_type = AccumulatorDType(plan.config.precision);
  LayerParameterTensors tensors;
  for (size_t i = 0; i < specs.size(); ++i) {
    const Block block = ShardBlock(specs[i], shard);
    const Shape shape = specs[i].shape.rank() == 1 ? Shape{block.num_rows}
                                                   : Shape{block.num_rows, block.num_columns};
    tensors[i] = Shaped(specs[i].is_layer_norm() ? norm_type : linear_type, shape);
  }
  return TensorBlock<LayerParameterTensors>(tensors);
}

}  // namespace

UnitLayout::UnitLayout(const JobPlan& plan, const RankCoordinates& rank) {
  const ShardIndex shard = plan.ShardOf(rank);
  const RankSizes r(plan, shard);
  std::map<int64_t, size_t> layout_of_len;
  for (const Slice& slice : plan.config.slices) {
    const auto [entry, is_new] = layout_of_len.try_emplace(slice.len, layouts_.size());
    if (is_new) layouts_.push_back(LayOutSlice(plan, shard, r, slice.len));
    layout_of_slice_.push_back(entry->second);
  }
  const auto [max_len, longest] = *layout_of_len.rbegin();
  longest_ = longest;
  qkv_ = TensorBlock<Tensor>(
      Shaped(r.storage, {r.num_positions, r.batch_size, r.num_heads, 3, r.head_dim}));
  key_value_accumulator_ = TensorBlock<Tensor>(
      Shaped(r.accumulator, {r.num_positions, r.batch_size, r.num_heads, 2, r.head_dim}));
  needs_key_value_accumulator_ = plan.config.slices.size() > 1 || plan.config.prefix_len > 0;
  weights_ = LayOutParameters(plan, shard, r.storage);
  weight_gradients_ = LayOutParameters(plan, shard, GradDType(plan.config));
  limits_ = {
      .max_tokens = max_len * r.batch_size,
      .max_seq_len = r.num_positions,
      .max_batch_size = r.batch_size,
      .hidden_size = r.hidden_size,
      .num_heads = r.num_heads,
      .head_dim = r.head_dim,
      .max_features = std::max({r.ffn_hidden_size, 3 * r.num_heads * r.head_dim, r.hidden_size})};
}

}  // namespace sluice
