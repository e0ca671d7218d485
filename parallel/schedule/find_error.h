// Finds errors in schedules. A schedule with an error is neither run nor timed.
#pragma once

#include <optional>
#include <string>

#include "parallel/schedule/execution_model.h"
#include "parallel/schedule/schedule.h"

namespace sluice {

// Returns the first error found in `schedule`, if there is one. Looks for, in order,
//
// - counts, placements and units out of range, ranks without a stage, ops on a rank that does not
//   hold their stage, backward ops in a forward pass;
// - compute: each unit has exactly one Forward and, in a step, either one Backward or one
//   BackwardInput and one BackwardWeight;
// - dependencies on the same rank, in list order:
//     Forward(s, mb, k)          after Forward(s-1, mb, k) and, for the keys and values that it
//                                attends to, Forward(s, mb, k-1);
//     Backward[Input](s, mb, k)  after Backward[Input](s+1, mb, k), the Forward of (s, mb)'s last
//                                slice and, for the gradients of its keys and values,
//                                Backward[Input](s, mb, k+1);
//     BackwardWeight(s, mb, k)   after BackwardInput(s, mb, k);
// - communication: one receive before each compute op whose input comes from another rank, one send
//   after each whose output goes there, no others, and both ends of a channel in the same order;
// - deadlock under `model` (execution_model.h): a cycle of ranks that wait for each other.
//
// The text names the rank, the op, its position in the rank's list (counted from 0) and the error,
// and then shows that part of the list with the op in brackets:
//
//   rank 1, position 0, F1.0.0: its input comes from rank 0, but rank 1 has no RA1.0.0
//     rank 1: [F1.0.0] BW1.0.0 SG1.0.0
std::optional<std::string> FindError(const Schedule& schedule, const ExecutionModel& model = {});

// The same for a schedule without communication, as its author wrote it: positions count in the
// author's own lists. Looks for, in order, values out of range, communication, compute ops that are
// repeated or missing, dependencies on the same rank, and a cycle of ranks whose compute ops wait
// for each other. If it finds nothing, FindError finds nothing in AddCommunication(schedule).
std::optional<std::string> FindComputeError(const Schedule& schedule);

}  // namespace sluice
