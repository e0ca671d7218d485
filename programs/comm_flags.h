// The flags that say how many ranks there are, how they are made and how long they wait for each
// other.  Every program with ranks has them.
//
//   --world_size --comm --timeout_s --share_gpu
#pragma once

#include <optional>

#include "parallel/comm/communicator.h"
#include "parallel/comm/nccl/gpu_sharing.h"
#include "programs/comm_kind.h"

namespace sluice {

constexpr int kMaxRanks = 65536;

struct CommRequest {
  CommKind kind = CommKind::kThread;
  std::optional<int> world_size;  // where it was given: from 1 to kMaxRanks
  CommOptions options;
  GpuUse gpu_use = GpuUse::kExclusive;
};

// The flags after Main has parsed them.  Throws Error where a launcher has started several
// processes and ranks are to be threads, and where ranks cannot share a GPU though --share_gpu says
// so.  With
// --comm=nccl, sets what CUDA and NCCL read from the environment when they start.
CommRequest CommFromFlags();

// Throws Error where this program was built without the communicator.
void CheckIsBuilt(CommKind kind);

// The number of processes that a launcher started, where ranks are processes.  Throws Error where
// another world size was requested.
int LaunchedWorldSize(const CommRequest& request);

}  // namespace sluice
