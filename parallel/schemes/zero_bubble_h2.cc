#include <algorithm>

#include "parallel/schemes/scheme.h"

namespace sluice {

// Runs nearly twice the warm-up of 1F1B, so that no rank waits for its first gradient, and defers
// weight gradients: rank r computes the last 2 r of them at the end.
//
// Source: schedule ZB-H2 of Qi et al., "Zero bubble pipeline parallelism", arXiv 2401.10241.
std::vector<Op> BuildZeroBubbleH2(const ScheduleShape& shape, int rank) {
  const int num_warmup = std::min(2 * (shape.num_ranks - rank) - 1, shape.num_micro_batches);
  std::vector<Op> ops;
  for (int i = 0; i < num_warmup; ++i) ops.push_back({OpKind::kForward, {rank, i}});
  int num_weights = 0;
  for (int i = 0; i < shape.num_micro_batches; ++i) {
    ops.push_back({OpKind::kBackwardInput, {rank, i}});
    if (i >= 2 * rank) ops.push_back({OpKind::kBackwardWeight, {rank, num_weights++}});
    if (num_warmup + i < shape.num_micro_batches) {
      ops.push_back({OpKind::kForward, {rank, num_warmup + i}});
    }
  }
  while (num_weights < shape.num_micro_batches) {
    ops.push_back({OpKind::kBackwardWeight, {rank, num_weights++}});
  }
  return ops;
}

}  // namespace sluice
