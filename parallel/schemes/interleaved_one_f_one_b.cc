#include <fmt/format.h>

#include "core/base/error.h"
#include "parallel/schemes/scheme.h"

namespace sluice {

// 1F1B with num_chunks stages per rank. Micro-batches run in groups of p = num_ranks: a group's
// forwards run on chunk 0, then on chunk 1, and so on, and its backwards from the last chunk to the
// first.
//
// Source: Narayanan et al., "Efficient large-scale language model training on GPU clusters using
// Megatron-LM", arXiv 2104.04473.
std::vector<Op> BuildInterleavedOneFOneB(const ScheduleShape& shape, int rank) {
  const int p = shape.num_ranks;
  const int v = shape.num_chunks;
  if (shape.num_micro_batches % p != 0) {
    throw Error(
        fmt::format("num_micro_batches {} is not allowed with scheme interleaved_one_f_one_b: "
                    "it must be a multiple of num_ranks {}",
                    shape.num_micro_batches, p));
  }
  std::vector<Unit> forwards;
  std::vector<Unit> backwards;
  for (int k = 0; k < shape.num_micro_batches * v; ++k) {
    const int chunk = k % (p * v) / p;
    const int micro_batch = k / (p * v) * p + k % p;
    forwards.push_back({LoopStage(shape, {rank, chunk}), micro_batch});
    backwards.push_back({LoopStage(shape, {rank, v - 1 - chunk}), micro_batch});
  }
  return OneForwardOneBackward(forwards, backwards, 2 * (p - rank - 1) + (v - 1) * p);
}

}  // namespace sluice
