// Adds sends and receives to a schedule of compute ops.
#pragma once

#include "parallel/schedule/schedule.h"

namespace sluice {

// A receive is posted this many compute ops before the op that needs it. With 1, a rank receives
// the next unit's input while it computes the current unit, which takes a second receive buffer.
// With 0, a receive is posted directly before its compute op, so the rank waits for every transfer.
inline constexpr int kDefaultRecvLookahead = 1;

// Adds a send directly after each compute op whose result another rank needs, and the matching
// receive `recv_lookahead` compute ops before the op that needs it. If the receives of a channel
// (execution_model.h) would not match the order of the sends, as can happen when one channel
// carries activations and gradients, receives are moved further forward.
//
// `schedule` has compute ops only, each unit in range and on the rank of its stage (checked). That
// it is complete and free of cycles is not checked here: see FindComputeError.
Schedule AddCommunication(Schedule schedule, int recv_lookahead = kDefaultRecvLookahead);

// Whether `schedule` has a send or a receive.
bool HasCommunication(const Schedule& schedule);

}  // namespace sluice
