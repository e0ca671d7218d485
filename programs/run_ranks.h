// Runs a job: makes its ranks, once they are known to agree and to fit into memory.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/backend/backend.h"
#include "parallel/comm/communicator.h"
#include "parallel/comm/fingerprint.h"
#include "parallel/exec/job.h"
#include "programs/job.h"
#include "programs/rank_starter.h"

namespace sluice {

// Where one rank works.
struct RankEnvironment {
  Communicator& world;         // of host memory
  Communicator& device_world;  // of the backend's device: `world` itself on the cpu
  Backend& backend;
};

// What a program adds to the job.
struct RankNeeds {
  // What each rank allocates besides its executor: of the host, while the executor is there; and of
  // the job's device, while there is none.  On the cpu these are one memory.
  int64_t host_bytes = 0;
  int64_t device_bytes = 0;
  // Options of the program in which all ranks must agree.
  std::vector<FingerprintField> fingerprint = {};
};

// Throws Error, before anything is allocated, when the ranks of a host or a GPU do not fit into its
// memory.  Ranks in processes first compare build, job, schedule and needs.fingerprint, and all end
// with CommError naming what differs.
void CheckRanks(RankStarter& ranks, const Job& job, const JobPlan& plan, const RankNeeds& needs);

// CheckRanks, then calls `run_rank` once per rank of the plan, each with a backend of its own.
// Throws as RankStarter::Run does.
void RunRanks(RankStarter& ranks, const Job& job, const JobPlan& plan, const RankNeeds& needs,
              const std::function<void(const RankEnvironment&)>& run_rank);

// The same for a program that runs one job, once; returns the exit code of its end: 0, or that of a
// fault, which has been printed.
int RunRanks(const Job& job, const JobPlan& plan, const RankNeeds& needs,
             const std::function<void(const RankEnvironment&)>& run_rank);

// Whether this process has rank 0: the one that reads and writes files.
bool HasFirstRank(const Job& job);

}  // namespace sluice
