// A step for tests of traces and pictures: any scheme with known costs.
#pragma once

#include <string_view>

#include "bench/timeline/timed_step.h"
#include "parallel/schemes/scheme.h"

namespace sluice {

// A forward takes 1 ms, an input gradient 1.2 ms, a weight gradient 0.8 ms and a message 0.1 ms; a
// unit keeps 3 MiB. The measurement has each op's predicted time, 10 % longer, and a wait before
// each op that starts late.
TimedStep ExampleStep(std::string_view scheme, const ScheduleShape& shape);

}  // namespace sluice
