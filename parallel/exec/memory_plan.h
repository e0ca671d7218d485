// The memory of all ranks of a job, computed once from its plan: nothing is allocated, and the
// machine need not be able to run the job.
//
//   const MemoryPlan memory =
//       PlanMemory(plan, KernelWorkspaceBytes(options, UnitLayout(plan, {}).limits()));
//   memory.OfRank(3).total();
//   memory.Sum().weights;
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "parallel/exec/job_plan.h"
#include "parallel/exec/rank_memory.h"

namespace sluice {

struct MemoryPlan {
  ParallelSizes sizes;
  // What the executor and the kernels of each rank allocate on its device. All tensor- and
  // data-parallel ranks at the same place in the pipeline allocate the same.
  std::vector<RankBytes> of_pipeline_rank;
  // What a program allocates for each rank in addition: of the host, while there is an executor;
  // and of the rank's device, while there is none.
  int64_t host_bytes = 0;
  int64_t apart_bytes = 0;

  const RankBytes& OfRank(int rank) const {
    return of_pipeline_rank[CoordinatesOf(rank, sizes).pipeline];
  }
  // The sum over all ranks. Throws Error if it does not fit int64_t.
  RankBytes Sum() const;
  // The total of the rank with the most, and the most that a rank has on its device at any time.
  int64_t MaxRankBytes() const;
  int64_t MaxDeviceBytes() const { return std::max(MaxRankBytes(), apart_bytes); }
};

// `kernel_bytes` is the workspace that the kernels of a rank reserve.
MemoryPlan PlanMemory(const JobPlan& plan, int64_t kernel_bytes);

}  // namespace sluice
