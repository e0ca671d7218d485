#include "parallel/schemes/scheme.h"

namespace sluice {

// Runs one warm-up forward for each later rank, then forwards and backwards alternately.
//
// Source: PipeDream-flush in Narayanan et al., "Efficient large-scale language model training on
// GPU clusters using Megatron-LM", arXiv 2104.04473.
std::vector<Op> BuildOneFOneB(const ScheduleShape& shape, int rank) {
  std::vector<Unit> units;
  for (int i = 0; i < shape.num_micro_batches; ++i) units.push_back({rank, i});
  return OneForwardOneBackward(units, units, shape.num_ranks - 1 - rank);
}

}  // namespace sluice
