// The time of an op on one rank, from unit costs (unit_costs.h), without communication.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "parallel/planner/cost_table.h"
#include "parallel/planner/unit_costs.h"
#include "parallel/schedule/schedule.h"
#include "parallel/schedule/slices.h"

namespace sluice {

// Returns the value that stands for a point's samples, such as their median.
using ReduceSamples = std::function<double(const std::vector<double>& samples)>;

struct OpShape {
  OpKind kind = OpKind::kForward;  // of a compute op
  int tensor_parallel_size = 1;
  int64_t micro_batch_size = 1;
  Slice slice;

  int64_t num_tokens() const { return slice.len * micro_batch_size; }
};

class OpCosts {
 public:
  // With Median, the planner's prediction; with a resampler (intervals.h), one of many that the
  // samples allow.
  OpCosts(const UnitCosts& costs, const ReduceSamples& reduce);

  // Whether ops of this kind have costs for the size. A whole backward that was not measured takes
  // the time of its two parts.
  bool Has(OpKind kind, int tensor_parallel_size) const;
  // Ascending.
  const std::vector<int>& tensor_parallel_sizes() const { return tensor_parallel_sizes_; }
  int64_t num_heads() const { return num_heads_; }

  // The three parts of unit_costs.h: of one layer, of the op, and of an end of the pipeline.
  double LayerSeconds(const OpShape& op) const;
  double LaunchSeconds(OpKind kind) const;
  double EndSeconds(const OpShape& op, StageEnd end) const;

 private:
  using Key = std::pair<OpKind, int>;  // the int is a tensor_parallel_size

  bool IsSum(OpKind kind, int tensor_parallel_size) const;
  // Without adding parts.
  double MeasuredLayerSeconds(const OpShape& op) const;
  double AttentionSeconds(const OpShape& op) const;

  int64_t num_heads_;
  std::vector<int> tensor_parallel_sizes_;
  std::map<OpKind, double> launch_s_;
  std::map<Key, StairTable> linear_s_;
  // [kind, tensor_parallel_size][micro_batch_size]: pairs per second.
  std::map<Key, std::map<int64_t, RateGrid>> pairs_per_s_;
  std::map<std::pair<OpKind, StageEnd>, StairTable> end_s_;
};

}  // namespace sluice
