#include "parallel/schemes/scheme.h"

namespace sluice {

// All micro-batches forward, then all backward in reverse.
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
