// Lengths of slices from measured times: causal attention makes later slices slower.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "parallel/schedule/slices.h"

namespace sluice {

enum class SliceRule {
  kEqual,     // equal lengths
  kBalanced,  // equal time of forward and backward, without the weight gradients of a split
              // backward
  kTerapipe,  // the dynamic program of TeraPipe (Li et al., 2102.07988), which also chooses how
              // many
};

std::vector<std::string> SliceRuleNames();
SliceRule ParseSliceRule(std::string_view name);

using SliceSeconds = std::function<double(const Slice&)>;

// Divides `seq_len` positions into `num_slices` slices of equal `seconds`, with boundaries rounded
// to multiples of `tile`. num_slices x tile is at most seq_len.
std::vector<Slice> BalancedSlices(int64_t seq_len, int num_slices, int64_t tile,
                                  const SliceSeconds& seconds);

// Moves `tile` positions from one slice to another while that shortens the step; `step_seconds` is
// called at most `max_calls` times. A slice keeps at least `tile` positions.
std::vector<Slice> ExchangeTiles(
    std::vector<Slice> slices, int64_t tile, int max_calls,
    const std::function<double(const std::vector<Slice>&)>& step_seconds);

// The planner of TeraPipe. A micro-batch of b sequences is computed in slices of whole cells of
// `cell` positions; slice k of it takes seconds(b, slice) on a stage, forward and backward
// together. All forwards run before all backwards, so that a step takes
//
//   the sum over all micro-batches and slices of seconds + (num_stages - 1) x the longest of them.
//
// For each cap on the longest, in ascending order, one dynamic program over the positions finds the
// slices of a micro-batch of each size, and another one over the batch its micro-batches. Caps that
// exceed the previous one by less than 10 us are skipped, and the sweep ends when
// num_stages x cap exceeds the best total.
struct TerapipeInput {
  int64_t seq_len = 0;
  int64_t cell = 8;  // divides seq_len
  int num_stages = 1;
  int64_t batch_size = 1;
  std::vector<int64_t> micro_batch_sizes;  // that are allowed, ascending
  std::function<double(int64_t micro_batch_size, const Slice&)> seconds;
};
struct TerapipeMicroBatch {
  int64_t size = 0;
  std::vector<Slice> slices;
};
struct TerapipePlan {
  double total_s = 0;
  std::vector<TerapipeMicroBatch> micro_batches;
};
TerapipePlan PlanTerapipe(const TerapipeInput& input);

}  // namespace sluice
