#include "bench/harness/step_output_flags.h"

#include "core/cli/flags.h"

SLUICE_FLAG_GROUP("Pictures and traces");
SLUICE_OUTPUT_PATH_FLAG(svg_out, "SVG file for a picture of each pass, predicted and measured");
SLUICE_OUTPUT_PATH_FLAG(
    trace_out,
    "file for a trace of each pass, predicted and measured, that Perfetto opens; "
    "compressed if its name ends in .gz");

namespace sluice {

StepOutputs StepOutputsFromFlags() {
  return {.svg_out = FLAGS_svg_out, .trace_out = FLAGS_trace_out};
}

}  // namespace sluice
