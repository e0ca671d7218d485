// The flags of pictures and traces of steps, for programs that run ranks.
//
//   --svg_out --trace_out
#pragma once

#include "bench/harness/step_outputs.h"

namespace sluice {

// The flags after Main has parsed them.
StepOutputs StepOutputsFromFlags();

}  // namespace sluice
