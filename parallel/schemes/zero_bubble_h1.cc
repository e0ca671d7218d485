#include "parallel/schemes/scheme.h"

namespace sluice {

std::vector<Op> BuildOneFOneB(const ScheduleShape& shape, int rank);

// 1F1B whose weight gradients fill the time in which a rank would idle: rank r defers r of them, so
// that no rank holds more activations than rank 0 does under 1F1B.
//
// Source: schedule ZB-H1 of Qi et al., "Zero bubble pipeline parallelism", arXiv 2401.10241.
std::vector<Op> BuildZeroBubbleH1(const ScheduleShape& shape, int rank) {
  return SplitBackwards(BuildOneFOneB(shape, rank), rank);
}

}  // namespace sluice
