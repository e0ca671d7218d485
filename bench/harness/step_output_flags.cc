#include "bench/harness/step_output_flags.h"

#include "core/cli/flags.h"

SLUICE_OUTPUT_PATH_FLAG(svg_out,
                        "write a picture of each pass, predicted and measured, to this SVG file");
SLUICE_OUTPUT_PATH_FLAG(trace_out,
                        "write a trace of each pass, predicted and measured, to this file, which "
                        "Perfetto opens; compressed if it ends in .gz");

namespace sluice {

StepOutputs StepOutputsFromFlags() {
  return {.svg_out = FLAGS_svg_out, .trace_out = FLAGS_trace_out};
}

}  // namespace sluice
