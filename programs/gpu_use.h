// What --share_gpu means to a program: several ranks on one GPU, each a process.
#pragma once

#include "parallel/comm/communicator.h"
#include "parallel/comm/nccl/gpu_sharing.h"
#include "programs/comm_kind.h"

namespace sluice {

// Sets what NCCL needs in the environment of this process, one rank of a launcher's, to share its
// GPU; variables that are set already keep their values.  Called before the process has threads.
// Throws Error where ranks of `kind` cannot share a GPU, or this NCCL cannot.
void PrepareToShareGpu(CommKind kind);

// Throws Error unless the ranks of each host outnumber its GPUs, on the first rank of the host; the
// others wait for it.  Called by all ranks of a launcher: a process may not use CUDA before it is
// one.
void CheckSharesGpu(Communicator& world);

}  // namespace sluice
