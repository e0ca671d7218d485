#include "parallel/planner/op_costs.h"

#include <algorithm>
#include <iterator>

#include "core/base/check.h"

namespace sluice {
namespace {

// The entry with the largest key that is at most `key`, or the first one.
template <typename Map>
const typename Map::mapped_type& AtMost(const Map& map, const typename Map::key_type& key) {
  const auto above = map.upper_bound(key);
  return above == map.begin() ? above->second : std::prev(above)->second;
}

}  // namespace

OpCosts::OpCosts(const UnitCosts& costs, const ReduceSamples& reduce)
    : num_heads_(costs.model.num_heads) {
  for (const LaunchCost& point : costs.launch) launch_s_[point.kind] = reduce(point.samples_s);
  for (const LinearCost& point : costs.linear) {
    linear_s_[{point.kind, point.tensor_parallel_size}].Add(point.num_tokens,
                                                            reduce(point.samples_s));
    if (point.kind == OpKind::kForward) {
      tensor_parallel_sizes_.push_back(point.tensor_parallel_size);
    }
  }
  std::ranges::sort(tensor_parallel_sizes_);
  const auto repeated = std::ranges::unique(tensor_parallel_sizes_);
  tensor_parallel_sizes_.erase(repeated.begin(), repeated.end());
  for (const AttentionCost& point : costs.attention) {
    const double heads = static_cast<double>(num_heads_) / point.tensor_parallel_size;
    pairs_per_s_[{point.kind, point.tensor_parallel_size}][point.micro_batch_size].Add(
        point.slice_len, point.prefix_len, AttentionPairs(heads, point) / reduce(point.samples_s));
  }
  for (const EndCost& point : costs.ends) {
    end_s_[{point.kind, point.end}].Add(point.num_tokens, reduce(point.samples_s));
  }
}

bool OpCosts::IsSum(OpKind kind, int tensor_parallel_size) const {
  return kind == OpKind::kBackward && !linear_s_.contains({kind, tensor_parallel_size});
}

bool OpCosts::Has(OpKind kind, int tensor_parallel_size) const {
  if (IsSum(kind, tensor_parallel_size)) {
    return Has(OpKind::kBackwardInput, tensor_parallel_size) &&
           Has(OpKind::kBackwardWeight, tensor_parallel_size);
  }
  return linear_s_.contains({kind, tensor_parallel_size});
}

double OpCosts::AttentionSeconds(const OpShape& op) const {
  // The rate of another tensor_parallel_size: attention computes each head alone.
  const auto end = pairs_per_s_.upper_bound({op.kind, op.tensor_parallel_size});
  auto rates = end;
  if (rates != pairs_per_s_.begin() && std::prev(rates)->first.first == op.kind) --rates;
  if (rates == pairs_per_s_.end() || rates->first.first != op.kind) return 0;
  const RateGrid& grid = AtMost(rates->second, op.micro_batch_size);
  const double heads = static_cast<double>(num_heads_) / op.tensor_parallel_size;
  const AttentionCost point = {.micro_batch_size = op.micro_batch_size,
                               .slice_len = op.slice.len,
                               .prefix_len = op.slice.begin};
  return AttentionPairs(heads, point) / grid.At(op.slice.len, op.slice.begin);
}

double OpCosts::MeasuredLayerSeconds(const OpShape& op) const {
  const auto linear = linear_s_.find({op.kind, op.tensor_parallel_size});
  SLUICE_CHECK(linear != linear_s_.end());
  return linear->second.At(op.num_tokens()) + AttentionSeconds(op);
}

double OpCosts::LayerSeconds(const OpShape& op) const {
  if (!IsSum(op.kind, op.tensor_parallel_size)) return MeasuredLayerSeconds(op);
  OpShape part = op;
  part.kind = OpKind::kBackwardInput;
  const double input_s = MeasuredLayerSeconds(part);
  part.kind = OpKind::kBackwardWeight;
  return input_s + MeasuredLayerSeconds(part);
}

double OpCosts::LaunchSeconds(OpKind kind) const {
  const auto found = launch_s_.find(kind);
  return found == launch_s_.end() ? 0 : found->second;
}

double OpCosts::EndSeconds(const OpShape& op, StageEnd end) const {
  const auto found = end_s_.find({op.kind, end});
  return found == end_s_.end() ? 0 : found->second.At(op.num_tokens());
}

}  // namespace sluice
