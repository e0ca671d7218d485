// The table of schemes, and the way from a scheme's name to its schedule:
//
//   Schedule schedule = AddCommunication(BuildSchedule(FindScheme("one_f_one_b"), shape));
//   if (auto error = FindError(schedule)) ...
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "parallel/schemes/scheme.h"

namespace sluice {

// All rows of scheme_table.inc, in that order.
const std::vector<Scheme>& Schemes();

// Throws Error with the nearest name and the list when there is no scheme of that name.
const Scheme& FindScheme(std::string_view name);

// The number of stages that `scheme` cuts the model into: num_ranks times its chunks per rank.
int NumStages(const Scheme& scheme, const ScheduleShape& shape);

// Returns the compute ops of all ranks, without communication. Of a forward pass it is the step's
// order without the backward ops. Throws Error naming flag, value and what is allowed when a number
// of `shape` is under 1, is not 1 though the scheme does not use it, breaks a rule of the scheme,
// or makes more than kMaxNumUnits units; and naming rank, position, op and reason when the scheme's
// list of a step is wrong (FindComputeError).
Schedule BuildSchedule(const Scheme& scheme, const ScheduleShape& shape);

}  // namespace sluice
