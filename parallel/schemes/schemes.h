// The table of schemes. From a scheme's name to its schedule:
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

// Throws Error with the nearest name and all names if there is no scheme `name`.
const Scheme& FindScheme(std::string_view name);

// The number of stages that `scheme` divides the model into: num_ranks times its chunks per rank.
int NumStages(const Scheme& scheme, const ScheduleShape& shape);

// Returns the compute ops of all ranks, without communication. A forward pass has the order of the
// step without its backward ops. All numbers of `shape` are at least 1. Throws Error naming the
// field, its value and what is allowed if a number is not 1 although the scheme does not use it,
// breaks a rule of the scheme, or makes more than kMaxNumUnits units; and naming rank, position, op
// and reason if the scheme's lists of a step are wrong (FindComputeError).
Schedule BuildSchedule(const Scheme& scheme, const ScheduleShape& shape);

}  // namespace sluice
