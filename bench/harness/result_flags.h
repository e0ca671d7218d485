// The flags for which benchmarks run and where their results go. Every benchmark program has them.
//
//   --json_out --filter --list
#pragma once

#include "bench/harness/run_benchmarks.h"

namespace sluice {

// The flags after Main has parsed them.
ResultOptions ResultOptionsFromFlags();

}  // namespace sluice
