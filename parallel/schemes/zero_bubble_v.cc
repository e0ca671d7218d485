#include <fmt/format.h>

#include "core/base/error.h"
#include "parallel/schemes/scheme.h"
#include "parallel/schemes/v_list.h"

namespace sluice {
// Two chunks per rank in a V, so that the last stage is on the first rank and every rank holds the
// same activations.
//
// Source: schedule V-ZB of Qi et al., "Pipeline parallelism with controllable memory", arXiv
// 2405.15362.
std::vector<Op> BuildZeroBubbleV(const ScheduleShape& shape, int rank) {
  const int p = shape.num_ranks;
  const int m = shape.num_micro_batches;
  if (m < 2 * p - 1) {
    throw Error(
        fmt::format("num_micro_batches {} is not allowed with scheme zero_bubble_v: it must be "
                    "at least 2 x num_ranks {} - 1 = {}",
                    m, p, 2 * p - 1));
  }
  VList list(shape, rank);
  for (int i = 0; i < 2 * (p - rank) - 1; ++i) list.Forward(0);
  for (int i = 0; i < rank; ++i) {
    list.Forward(1);
    list.Forward(0);
  }
  for (int i = 0; i < p - rank; ++i) {
    list.Forward(1);
    list.Input(1);
    list.Weight(1);
  }
  for (int i = 0; i < m - p; ++i) {
    for (const int chunk : {0, 1}) {
      list.Forward(chunk);
      list.Input(chunk);
      list.Weight(chunk);
    }
  }
  for (int i = 0; i < rank; ++i) {
    list.Input(0);
    list.Input(1);
  }
  for (int i = 0; i < p - rank; ++i) {
    list.Input(0);
    list.Weight(0);
  }
  list.RestOfWeights(1);
  list.RestOfWeights(0);
  return list.Take();
}

}  // namespace sluice
