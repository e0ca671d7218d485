#include "parallel/schemes/scheme.h"

namespace sluice {

// Runs all forwards, then all backwards in reverse order.
//
// Source: Huang et al., "GPipe: efficient training of giant neural networks using pipeline
// parallelism", arXiv 1811.06965.
std::vector<Op> BuildGpipe(const ScheduleShape& shape, int rank) {
  std::vector<Op> ops;
  for (int i = 0; i < shape.num_micro_batches; ++i) ops.push_back({OpKind::kForward, {rank, i}});
  for (int i = shape.num_micro_batches - 1; i >= 0; --i) {
    ops.push_back({OpKind::kBackward, {rank, i}});
  }
  return ops;
}

}  // namespace sluice
