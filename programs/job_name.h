// The name of a job: what tells its results from those of every other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "parallel/exec/job.h"
#include "programs/job.h"

namespace sluice {

// "scheme:seqpipe/model:test/world_size:4/n_slices:8/device:cpu/dtype:f32/pass:forward".  Omits
// numbers that are 1 (except world_size), sizes of the named model, and everything else that is the
// default.  `plan` is that of job.config.
//
// A name states what was requested, never what the machine made of it: the same command line has
// the same name under any CPU affinity, quota, set of visible devices or environment.  Without
// --threads or --world_size, their defaults follow the machine, so the name omits them; the context
// of the result has both.
std::string NameOf(const Job& job, const JobPlan& plan);

std::string NameOf(Pass pass);  // "forward" or "step"

// Returns "2x13+12" for 13, 13, 12. The text has no comma, because commas separate the values of
// several jobs.
std::string RunLengthText(const std::vector<int64_t>& values);

// The RunLengthText of the lengths of the slices.
std::string SliceLens(const JobConfig& config);

}  // namespace sluice
