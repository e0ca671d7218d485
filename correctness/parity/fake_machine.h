// Ranks whose kernels are the CPU's, but enqueued on streams of the fake of CUDA, with
// NcclCommunicator on the fake of NCCL between them: everything that a step on GPUs does but the
// arithmetic of GPUs, asynchronous as there.
#pragma once

#include <cstdint>

#include "correctness/parity/parity_run.h"

namespace sluice {

// When the kernels choose their algorithms, which synchronises the device.
enum class FakeTuning : uint8_t {
  kAnnounced,  // Kernels::tunes: in the executor's rehearsal
  kHidden,     // in the first step: what the rehearsal is there to prevent
};

Machine FakeGpuMachine(FakeTuning tuning = FakeTuning::kAnnounced);

}  // namespace sluice
