#include <algorithm>

#include "parallel/schemes/scheme.h"

namespace sluice {

// 1F1B with the weight gradients put off to where a rank would idle: rank r keeps r of them back,
// so that no rank holds more activations than rank 0 does under 1F1B.
//
// Source: schedule ZB-H1 of Qi et al., "Zero bubble pipeline parallelism", arXiv 2401.10241.
std::vector<Op> BuildZeroBubbleH1(const ScheduleShape& shape, int rank) {
  const int num_warmup = std::min(shape.num_ranks - 1 - rank, shape.num_micro_batches);
  std::vector<Op> ops;
  for (int i = 0; i < num_warmup; ++i) ops.push_back({OpKind::kForward, {rank, i}});
  int num_weights = 0;
  for (int i = 0; i < shape.num_micro_batches; ++i) {
    if (num_warmup + i < shape.num_micro_batches) {
      ops.push_back({OpKind::kForward, {rank, num_warmup + i}});
    }
    ops.push_back({OpKind::kBackwardInput, {rank, i}});
    if (i >= rank) ops.push_back({OpKind::kBackwardWeight, {rank, num_weights++}});
  }
  while (num_weights < shape.num_micro_batches) {
    ops.push_back({OpKind::kBackwardWeight, {rank, num_weights++}});
  }
  return ops;
}

}  // namespace sluice
