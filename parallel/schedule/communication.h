// Lowering: from compute ops to compute ops with sends and receives.
#pragma once

#include "parallel/schedule/schedule.h"

namespace sluice {

// How many compute ops before the one that needs it a receive is posted. 1 receives the next unit's
// input while this unit is computed, which takes a second receive buffer; 0 posts a receive right
// before its compute op, so that every transfer is waited for.
inline constexpr int kDefaultRecvLookahead = 1;

// Adds a send right after each compute op whose result another rank needs, and the matching receive
// `recv_lookahead` compute ops before the op that needs it. A receive is moved further forward
// where its channel (execution_model.h) would else not match the order of the sends, as happens
// when one channel carries activations and gradients.
//
// `schedule` holds compute ops only, each unit in range and on the rank of its stage (checked):
// FindComputeError says so, and whether it is complete and free of circles, which is not looked at
// here.
Schedule AddCommunication(Schedule schedule, int recv_lookahead = kDefaultRecvLookahead);

}  // namespace sluice
