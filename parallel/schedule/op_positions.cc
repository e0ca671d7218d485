#include "parallel/schedule/op_positions.h"

#include <algorithm>

namespace sluice {

OpPositions::OpPositions(const Schedule& schedule) : schedule_(schedule) {
  for (std::vector<int>& positions : position_of_unit_) positions.assign(NumUnits(schedule), -1);
  for (const std::vector<Op>& ops : schedule.ops_of_rank) {
    for (int i = 0; i < std::ssize(ops); ++i) {
      int& position =
          position_of_unit_[static_cast<int>(ops[i].kind)][UnitIndex(schedule, ops[i].unit)];
      if (position < 0) position = i;
    }
  }
}

int OpPositions::Find(const Op& op) const {
  return position_of_unit_[static_cast<int>(op.kind)][UnitIndex(schedule_, op.unit)];
}

int OpPositions::FindInputGradient(const Unit& unit) const {
  return std::max(Find({OpKind::kBackward, unit}), Find({OpKind::kBackwardInput, unit}));
}

}  // namespace sluice
