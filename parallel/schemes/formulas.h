// The published idle times of the schemes. formulas_test compares them with the simulator.
#pragma once

#include <optional>
#include <string_view>

#include "parallel/schemes/scheme.h"

namespace sluice {

// Times of one micro-batch on one rank, all its slices and chunks together, in any unit.
struct MicroBatchTimes {
  double forward = 0;
  double input_gradient = 0;
  double weight_gradient = 0;

  double total() const { return forward + input_gradient + weight_gradient; }
};

// The idle time of the scheme's row (IdleFormula). Absent if the row has none, if `shape` has too
// few units for it, or if `times` are not those that it is for.
std::optional<double> FormulaIdleTime(const Scheme& scheme, const ScheduleShape& shape,
                                      const MicroBatchTimes& times);

}  // namespace sluice
