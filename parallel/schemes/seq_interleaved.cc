#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "parallel/schemes/scheme.h"

namespace sluice {

// 1F1B over slices with num_chunks stages per rank. All slices of a micro-batch run on chunk 0,
// then on chunk 1, and so on; its backwards run in exactly the reverse order.
//
// Source: the order of SlimPipe, arXiv 2504.14519, without its exchange of context between ranks.
std::vector<Op> BuildSeqInterleaved(const ScheduleShape& shape, int rank) {
  const int p = shape.num_ranks;
  const int n = shape.num_slices;
  if (n % p != 0) {
    throw Error(
        fmt::format("num_slices {} is not allowed with interleaving over slices: it must be a "
                    "multiple of num_ranks {}",
                    n, p));
  }
  std::vector<Unit> forwards;
  std::vector<Unit> backwards;
  for (int i = 0; i < shape.num_micro_batches; ++i) {
    for (int chunk = 0; chunk < shape.num_chunks; ++chunk) {
      for (int k = 0; k < n; ++k) {
        forwards.push_back({LoopStage(shape, {rank, chunk}), i, k});
        backwards.push_back({LoopStage(shape, {rank, shape.num_chunks - 1 - chunk}), i, n - 1 - k});
      }
    }
  }
  return OneForwardOneBackward(forwards, backwards, n * shape.num_chunks - 1 + p - 1 - rank);
}

}  // namespace sluice
