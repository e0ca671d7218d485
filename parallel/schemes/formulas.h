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

// The makespan of a step minus a rank's work, with slices and stages of equal cost and without
// communication. Absent if there is no formula of the makespan (zero_bubble_h2, zero_bubble_v,
// v_half, v_min: what is published of them is the idle time between a rank's ops, or a bound), or
// if `shape` has too few units for it.
std::optional<double> FormulaIdleTime(const Scheme& scheme, const ScheduleShape& shape,
                                      const MicroBatchTimes& times);

}  // namespace sluice
