#include "parallel/schemes/scheme.h"

namespace sluice {

// Runs the slices of a micro-batch forward, then backward in reverse order, then the next one.
std::vector<Op> BuildSingle(const ScheduleShape& shape, int rank) {
  std::vector<Op> ops;
  for (int i = 0; i < shape.num_micro_batches; ++i) {
    for (int k = 0; k < shape.num_slices; ++k) {
      ops.push_back({OpKind::kForward, {rank, i, k}});
    }
    for (int k = shape.num_slices - 1; k >= 0; --k) {
      ops.push_back({OpKind::kBackward, {rank, i, k}});
    }
  }
  return ops;
}

}  // namespace sluice
