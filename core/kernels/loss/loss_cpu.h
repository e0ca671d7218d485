// loss.h on the CPU.  The sum runs in float64 on one thread, so it does not depend on the number of
// threads.
#pragma once

#include "core/device/cpu/thread_pool.h"
#include "core/kernels/loss/loss.h"

namespace sluice::cpu {

template <typename T>
void LossForward(const LossForwardArgs& args);

template <typename T>
void LossBackward(ThreadPool& pool, const LossBackwardArgs& args);

}  // namespace sluice::cpu
