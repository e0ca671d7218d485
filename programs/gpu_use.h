// The checks and settings of --share_gpu: several ranks on one GPU, each a process.
#pragma once

#include "parallel/comm/communicator.h"
#include "parallel/comm/nccl/gpu_sharing.h"
#include "programs/comm_kind.h"

namespace sluice {

// Sets the environment variables that NCCL needs to share the GPU of this process, which is one
// rank of a launcher. Variables that are already set keep their values. Call it before the process
// has threads. Throws Error where ranks of `kind` or this version of NCCL cannot share a GPU.
void PrepareToShareGpu(CommKind kind);

// Throws Error on the first rank of each host unless the host has more ranks than GPUs; the other
// ranks wait for it. All ranks of a launcher call it, since a process must not use CUDA before MPI
// has started.
void CheckSharesGpu(Communicator& world);

}  // namespace sluice
