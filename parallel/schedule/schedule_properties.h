// Properties that hold for every schedule that a parser returns, whether it can run or not. The
// fuzzers check them.
#pragma once

#include "parallel/schedule/schedule.h"

namespace sluice {

// Checks that the text form of `schedule` is read back, that FindError and FindComputeError agree
// with the simulation, and that ForwardOf and AddCommunication keep a schedule free of errors.
// Every unit of `schedule` is in range.
void CheckScheduleProperties(const Schedule& schedule);

}  // namespace sluice
