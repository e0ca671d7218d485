// The name of a job, which distinguishes its results from those of other jobs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "parallel/exec/job_plan.h"
#include "programs/job.h"

namespace sluice {

// "scheme:seqpipe/model:test/world_size:4/n_slices:8/device:cpu/dtype:f32/pass:forward".  Omits
// numbers that are 1 (except world_size), sizes of the named model, and everything else that is the
// default.  `plan` is that of job.config.
//
// A name states what was requested and does not depend on the machine: the same command line has
// the same name under any CPU affinity, quota, set of visible devices or environment. The defaults
// of
// --threads and --world_size depend on the machine, so the name omits them where they were not
// given; the context of the result always contains both.
std::string NameOf(const Job& job, const JobPlan& plan);

std::string NameOf(Pass pass);  // "forward" or "step"

// Returns "2x13+12" for 13, 13, 12. The text has no comma, because commas separate the values of
// several jobs.
std::string RunLengthText(const std::vector<int64_t>& values);

// The RunLengthText of the lengths of the slices.
std::string SliceLens(const JobConfig& config);

}  // namespace sluice
