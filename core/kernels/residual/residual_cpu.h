// residual.h on the CPU.
#pragma once

#include "core/device/cpu/thread_pool.h"
#include "core/kernels/residual/residual.h"

namespace sluice::cpu {

template <typename T>
void AddBiasResidual(ThreadPool& pool, const AddBiasResidualArgs& args);

}  // namespace sluice::cpu
