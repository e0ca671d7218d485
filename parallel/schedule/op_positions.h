// Where each op stands in the list of its rank.
#pragma once

#include <array>
#include <vector>

#include "parallel/schedule/schedule.h"

namespace sluice {

class OpPositions {
 public:
  // `schedule` has units in range, each on the rank of its stage. It is referred to, not copied.
  explicit OpPositions(const Schedule& schedule);

  // The position of `op` in the list of its rank, the first one if there are more; -1 if there is
  // none.
  int Find(const Op& op) const;

  // The position of the op that makes the gradient of the unit's input, Backward or BackwardInput;
  // -1 if there is none.
  int FindInputGradient(const Unit& unit) const;

 private:
  const Schedule& schedule_;
  std::array<std::vector<int>, 8> position_of_unit_;  // per kind, [num_units]
};

}  // namespace sluice
