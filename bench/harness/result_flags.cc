#include "bench/harness/result_flags.h"

#include "core/cli/flags.h"

SLUICE_OUTPUT_PATH_FLAG(json_out, "write the results to this file, as JSON");
SLUICE_TEXT_FLAG(filter, ".", "only benchmarks whose name matches this regular expression");

namespace sluice {

ResultOptions ResultOptionsFromFlags() {
  return {.filter = FLAGS_filter, .json_out = FLAGS_json_out};
}

}  // namespace sluice
