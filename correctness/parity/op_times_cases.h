// What OpTimeline must say of passes whose ranks wait for each other, on any machine: each case
// makes one rank late on purpose.
#pragma once

#include "correctness/parity/parity_run.h"

namespace sluice {

// A rank that waits for a message waits in messages, and computes no longer for it.
void ExpectMessageWaitIsNotCompute(const Machine& machine);

// A rank that waits in a collective of its layers, or in the sums over data-parallel ranks, waits
// there and nowhere else.
void ExpectTensorCollectivesAreTheirOwn(const Machine& machine);
void ExpectDataCollectivesAreTheirOwn(const Machine& machine);

// Recording changes no result, and a pass after StopRecording is not recorded.
void ExpectRecordingChangesNothing(const Machine& machine);

}  // namespace sluice
