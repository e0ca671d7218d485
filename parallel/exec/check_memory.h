// Refuses a job that cannot fit into memory, before anything of it is allocated.
#pragma once

#include <cstdint>
#include <vector>

#include "core/backend/backend.h"
#include "parallel/exec/job.h"

namespace sluice {

// Bytes that an executor of this rank allocates: its RankMemory and the workspace of its kernels.
int64_t ExecutorBytes(const JobPlan& plan, int rank, const Kernels& kernels);

// What a rank allocates of its device that is not its executor's.
struct OtherBytes {
  int64_t beside = 0;  // while there is an executor
  int64_t apart = 0;   // while there is none
};

// Throws Error with the bytes that all of `ranks` need and those there are, unless they fit into
// the memory of `backend`'s device, which they share (the ranks of one host on the cpu, one rank on
// cuda).  What the driver's context and kernels hold of a GPU is taken already, and named.
void CheckMemory(const JobPlan& plan, const std::vector<int>& ranks, const Backend& backend,
                 OtherBytes other);

}  // namespace sluice
