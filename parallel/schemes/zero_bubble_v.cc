#include <fmt/format.h>

#include <array>

#include "core/base/error.h"
#include "parallel/schemes/scheme.h"

namespace sluice {
namespace {

// Appends the ops of one rank's two chunks, counting micro-batches for each kind and chunk.
class VList {
 public:
  VList(const ScheduleShape& shape, int rank)
      : stages_{VStage(shape, {rank, 0}), VStage(shape, {rank, 1})},
        num_micro_batches_(shape.num_micro_batches) {}

  // Appends the next micro-batch's op of each chunk, if there is one left.
  void Forward(int chunk) { Append(OpKind::kForward, chunk, num_forwards_); }
  void Input(int chunk) { Append(OpKind::kBackwardInput, chunk, num_inputs_); }
  void Weight(int chunk) { Append(OpKind::kBackwardWeight, chunk, num_weights_); }

  // Appends the weight gradients that are left.
  void RestOfWeights(int chunk) {
    while (num_weights_[chunk] < num_micro_batches_) Weight(chunk);
  }

  std::vector<Op> Take() { return std::move(ops_); }

 private:
  using Counts = std::array<int, 2>;  // per chunk

  void Append(OpKind kind, int chunk, Counts& counts) {
    if (counts[chunk] < num_micro_batches_)
      ops_.push_back({kind, {stages_[chunk], counts[chunk]++}});
  }

  const std::array<int, 2> stages_;
  const int num_micro_batches_;
  Counts num_forwards_ = {};
  Counts num_inputs_ = {};
  Counts num_weights_ = {};
  std::vector<Op> ops_;
};

}  // namespace

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
                    "at least 2 x pipeline_parallel_size {} - 1 = {}",
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
