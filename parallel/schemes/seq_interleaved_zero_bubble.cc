#include "parallel/schemes/scheme.h"

namespace sluice {

std::vector<Op> BuildSeqInterleaved(const ScheduleShape& shape, int rank);

// seq_interleaved whose weight gradients fill the time in which a rank would idle, as in
// zero_bubble_h1. All ranks hold the activations that rank 0 holds under seq_interleaved.
std::vector<Op> BuildSeqInterleavedZeroBubble(const ScheduleShape& shape, int rank) {
  return SplitBackwards(BuildSeqInterleaved(shape, rank), rank);
}

}  // namespace sluice
