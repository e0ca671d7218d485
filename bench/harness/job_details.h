// What a result file has of one job besides the numbers of its rows: each op and each rank, so that
// the simulated time, the bubbles and all other sums can be recomputed from the file alone.
#pragma once

#include <string>

#include "bench/harness/measure.h"
#include "parallel/exec/job_plan.h"
#include "parallel/exec/memory_plan.h"

namespace sluice {

// A JSON object; docs/metrics.md has its keys.
std::string JobDetails(const JobPlan& plan, const MemoryPlan& memory, const Measurement& m);

}  // namespace sluice
