// Steps as an SVG picture: a panel for each prediction and each measurement, all on one time axis.
//
// A panel has a row per pipeline rank. Blue is a forward, orange a whole backward, teal an input
// gradient and green a weight gradient; later chunks of a rank are lighter. Where it fits, a box
// has the number of its micro-batch, and of its slice behind a dot. Idle time is the background.
// The strip under a row shows the activations kept, from 0 to the greatest peak of any panel.
#pragma once

#include <string>
#include <vector>

#include "bench/timeline/timed_step.h"

namespace sluice {

// At least one step.
std::string StepFigureSvg(const std::vector<TimedStep>& steps);

}  // namespace sluice
