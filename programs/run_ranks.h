// Starts the ranks of a job, as threads of this process or as the processes of a launcher.
#pragma once

#include <cstdint>
#include <functional>

#include "core/backend/backend.h"
#include "parallel/comm/communicator.h"
#include "parallel/exec/job.h"
#include "programs/job.h"

namespace sluice {

// Where one rank works.
struct RankEnvironment {
  Communicator& world;  // of host memory
  Backend& backend;
};

// Calls `run_rank` once per rank of the plan (in this process: for all of them, or for the one that
// the launcher made of it) and returns the exit code of its end: 0, or that of a fault, which has
// been printed.  `host_bytes` is host memory that each rank needs besides its executor.
//
// Before anything is allocated, ends with an Error when the ranks of a host do not fit into its
// memory.  Ranks in processes first compare build, job and schedule, and end naming what differs.
int RunRanks(const Job& job, const JobPlan& plan, int64_t host_bytes,
             const std::function<void(const RankEnvironment&)>& run_rank);

// Whether this process has rank 0: the one that reads and writes files.
bool HasFirstRank(const Job& job);

}  // namespace sluice
