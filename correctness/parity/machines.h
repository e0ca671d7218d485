// The machines that parity tests run on.
#pragma once

#include "correctness/parity/parity_run.h"

namespace sluice {

// Ranks share the host's cores and memory.
Machine CpuMachine();

// A GPU for each rank, and NCCL between them.
Machine GpuMachine();

}  // namespace sluice
