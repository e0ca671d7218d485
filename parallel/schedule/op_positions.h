// The position of each op in the list of its rank.
#pragma once

#include <array>
#include <vector>

#include "parallel/schedule/schedule.h"

namespace sluice {

class OpPositions {
 public:
  // Every unit of `schedule` is in range and on the rank of its stage. `schedule` is not copied and
  // must outlive this object.
  explicit OpPositions(const Schedule& schedule);

  // Returns the first position of `op` in the list of its rank, or -1 if the list lacks it.
  int Find(const Op& op) const;

  // Returns the position of the op that computes the gradient of the unit's input, Backward or
  // BackwardInput, or -1 if the list lacks both.
  int FindInputGradient(const Unit& unit) const;

 private:
  const Schedule& schedule_;
  std::array<std::vector<int>, kNumOpKinds> position_of_unit_;  // per kind, [num_units]
};

}  // namespace sluice
