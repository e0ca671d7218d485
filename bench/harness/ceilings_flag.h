// --ceilings: whether benchmarks measure the ceilings of the machine (bench/harness/ceiling.h).
#pragma once

#include <gflags/gflags_declare.h>

DECLARE_string(ceilings);

namespace sluice {

// False with --ceilings=none: results then contain neither a ceiling nor a share of one. tools/perf
// sets it because it compares times only: measuring the ceilings would take half the time of its
// hundreds of short processes, and minutes under an emulator that counts instructions.
bool MeasuresCeilings();

}  // namespace sluice
