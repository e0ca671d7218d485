// Runs a job: checks that its ranks agree and fit into memory, then makes them.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "parallel/comm/fingerprint.h"
#include "parallel/exec/job_plan.h"
#include "parallel/exec/memory_plan.h"
#include "programs/job.h"
#include "programs/rank_environment.h"
#include "programs/rank_starter.h"

namespace sluice {

// What a program adds to the job.
struct RankNeeds {
  // What each rank allocates besides its executor: of the host, while the executor exists; and of
  // the job's device, while there is none. On the cpu these are one memory.
  int64_t host_bytes = 0;
  int64_t device_bytes = 0;
  // Options of the program in which all ranks must agree.
  std::vector<FingerprintField> fingerprint = {};
};

// The memory of all ranks. Once for each job: it lays out the memory of every unit.
MemoryPlan PlanMemory(const Job& job, const JobPlan& plan, const RankNeeds& needs);

// Throws Error, before anything of the job is allocated, when the ranks of a host or a GPU do not
// fit into its memory, or have no kernels there. Ranks in processes first compare build, job,
// schedule and `fingerprint`, and all end with CommError naming what differs. Once for each job,
// before RunRanks.
void CheckRanks(RankStarter& ranks, const Job& job, const JobPlan& plan, const MemoryPlan& memory,
                const std::vector<FingerprintField>& fingerprint);

// Calls `run_rank` once for each rank of the job, each with a backend of its own. Throws as
// RankStarter::Run does.
void RunRanks(RankStarter& ranks, const Job& job,
              const std::function<void(const RankEnvironment&)>& run_rank);

// All of the above for a program that runs one job, once; returns its exit code: 0, or that of a
// fault, which has been printed.
int RunRanks(const Job& job, const JobPlan& plan, const RankNeeds& needs,
             const std::function<void(const RankEnvironment&)>& run_rank);

// Whether this process has rank 0: the one that reads and writes files.
bool HasFirstRank(const Job& job);

}  // namespace sluice
