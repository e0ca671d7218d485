// The list of one rank that holds two stages in a V (Placement::kV), written op by op.
#pragma once

#include <array>
#include <list>
#include <utility>
#include <vector>

#include "parallel/schemes/scheme.h"

namespace sluice {

class VList {
 public:
  VList(const ScheduleShape& shape, int rank);

  // Each appends the op of the chunk's next micro-batch, if one is left.
  void Forward(int chunk);
  void Backward(int chunk);
  void Input(int chunk);
  void Weight(int chunk);  // a unit whose Input is there

  // Appends the weight gradient whose Input is the oldest, of either chunk.
  void OldestWeight();

  // Appends the chunk's weight gradients that are left.
  void RestOfWeights(int chunk);

  std::vector<Op> Take() { return std::move(ops_); }

 private:
  // Appends `kind` for the chunk's next unit that `counts` has not counted; false if none is left.
  bool Append(OpKind kind, int chunk, std::array<int, 2>& counts);

  const std::array<int, 2> stages_;  // of the chunks
  const int num_micro_batches_;
  std::array<int, 2> num_forwards_ = {};
  std::array<int, 2> num_backwards_ = {};  // and Inputs
  std::list<Unit> pending_weights_;        // in the order of their Inputs
  std::vector<Op> ops_;
};

}  // namespace sluice
