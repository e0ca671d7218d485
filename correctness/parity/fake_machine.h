// Ranks whose kernels are the CPU's, but enqueued on streams of the fake of CUDA, with
// NcclCommunicator on the fake of NCCL between them: everything that a step on GPUs does but the
// arithmetic of GPUs, asynchronous as there.
#pragma once

#include "correctness/parity/parity_run.h"

namespace sluice {

Machine FakeGpuMachine();

}  // namespace sluice
