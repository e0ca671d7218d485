#include <fmt/format.h>

#include "core/base/error.h"
#include "parallel/schemes/scheme.h"
#include "parallel/schemes/v_list.h"

namespace sluice {

// DualPipe cut in half: two chunks per rank in a V. In the steady state the forward of one
// micro-batch stands next to the whole backward of another one, whose communication it can hide.
//
// Source: DeepSeek-AI, "DeepSeek-V3 technical report", arXiv 2412.19437, and Sea AI Lab's "cut in
// half" of its DualPipe.
std::vector<Op> BuildDualpipeV(const ScheduleShape& shape, int rank) {
  const int p = shape.num_ranks;
  const int m = shape.num_micro_batches;
  if (m < 2 * p) {
    throw Error(
        fmt::format("num_micro_batches {} is not allowed with scheme dualpipe_v: it must be at "
                    "least 2 x num_ranks {} = {}",
                    m, p, 2 * p));
  }
  const int num_ranks_after = p - 1 - rank;
  VList list(shape, rank);
  for (int i = 0; i < 2 * num_ranks_after; ++i) list.Forward(0);
  for (int i = 0; i < rank + 1; ++i) {
    list.Forward(0);
    list.Forward(1);
  }
  for (int i = 0; i < num_ranks_after; ++i) {
    list.Input(1);
    list.OldestWeight();
    list.Forward(1);
  }
  // The steady state: pairs of a forward and a backward.
  for (int i = 0; i < m - 2 * p + rank + 1; ++i) {
    list.Forward(0);
    list.Backward(1);
    list.Forward(1);
    list.Backward(0);
  }
  for (int i = 0; i < num_ranks_after; ++i) {
    list.Backward(1);
    list.Forward(1);
    list.Backward(0);
  }
  // The second half of the last 2 (rank + 1) backwards is split, so that weight gradients are left
  // for the idle time at the end.
  for (int i = 0; i < 2 * (rank + 1); ++i) {
    const int chunk = 1 - i % 2;
    i < rank + 1 ? list.Backward(chunk) : list.Input(chunk);
  }
  for (int i = 0; i < num_ranks_after; ++i) {
    list.OldestWeight();
    list.Input(0);
  }
  for (int i = 0; i < rank + 1; ++i) list.OldestWeight();
  return list.Take();
}

}  // namespace sluice
