#include "bench/harness/result_flags.h"

#include "core/cli/flags.h"

SLUICE_FLAG_GROUP("Selection and output");
SLUICE_OUTPUT_PATH_FLAG(json_out, "file to write the results to, as JSON");
SLUICE_TEXT_FLAG(filter, ".",
                 "run the benchmarks whose names match this regular expression; after a leading -, "
                 "all others");
SLUICE_BOOL_FLAG(list, false,
                 "print the names of the benchmarks that --filter selects, and run none");

namespace sluice {

ResultOptions ResultOptionsFromFlags() {
  return {.filter = FLAGS_filter, .lists = FLAGS_list, .json_out = FLAGS_json_out};
}

}  // namespace sluice
