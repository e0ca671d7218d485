#include "parallel/schemes/scheme.h"

namespace sluice {

// 1F1B over slices. A micro-batch's backward starts with its last slice, so the warm-up is longer
// than that of 1F1B by num_slices - 1 forwards.
//
// Source: Sun et al., "Seq1F1B: efficient sequence-level pipeline parallelism for large language
// model training", arXiv 2406.03488.
std::vector<Op> BuildSeqOneFOneB(const ScheduleShape& shape, int rank) {
  std::vector<Unit> forwards;
  std::vector<Unit> backwards;
  for (int i = 0; i < shape.num_micro_batches; ++i) {
    for (int k = 0; k < shape.num_slices; ++k) {
      forwards.push_back({rank, i, k});
      backwards.push_back({rank, i, shape.num_slices - 1 - k});
    }
  }
  return OneForwardOneBackward(forwards, backwards, shape.num_ranks - 2 - rank + shape.num_slices);
}

}  // namespace sluice
