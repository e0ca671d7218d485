#include "parallel/schemes/scheme.h"

namespace sluice {

// Runs all slices of all micro-batches forward, then backward in reverse order.
//
// Source: Li et al., "TeraPipe: token-level pipeline parallelism for training large-scale language
// models", arXiv 2102.07988.
std::vector<Op> BuildSeqpipe(const ScheduleShape& shape, int rank) {
  std::vector<Op> ops;
  for (int i = 0; i < shape.num_micro_batches; ++i) {
    for (int k = 0; k < shape.num_slices; ++k) ops.push_back({OpKind::kForward, {rank, i, k}});
  }
  for (int i = shape.num_micro_batches - 1; i >= 0; --i) {
    for (int k = shape.num_slices - 1; k >= 0; --k) {
      ops.push_back({OpKind::kBackward, {rank, i, k}});
    }
  }
  return ops;
}

}  // namespace sluice
