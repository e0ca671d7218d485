#include "parallel/schemes/scheme.h"

namespace sluice {

std::vector<Op> BuildSeqOneFOneB(const ScheduleShape& shape, int rank);

// Seq1F1B whose weight gradients fill the time in which a rank would idle, as in zero_bubble_h1,
// which it is with one slice. All ranks hold the activations that rank 0 holds under Seq1F1B.
std::vector<Op> BuildSeqZeroBubbleH1(const ScheduleShape& shape, int rank) {
  return SplitBackwards(BuildSeqOneFOneB(shape, rank), rank);
}

}  // namespace sluice
