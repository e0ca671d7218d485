#include "bench/harness/result_flags.h"

#include "core/cli/flags.h"

SLUICE_OUTPUT_PATH_FLAG(json_out, "write the results to this file, as JSON");
SLUICE_TEXT_FLAG(filter, ".",
                 "only benchmarks whose name matches this regular expression; behind a -, all but "
                 "those");
SLUICE_BOOL_FLAG(list, false, "print the names of the benchmarks that --filter selects, run none");

namespace sluice {

ResultOptions ResultOptionsFromFlags() {
  return {.filter = FLAGS_filter, .lists = FLAGS_list, .json_out = FLAGS_json_out};
}

}  // namespace sluice
