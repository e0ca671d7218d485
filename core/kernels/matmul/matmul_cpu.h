// matmul.h on the CPU: OpenBLAS on each thread's share, the surrounding elementwise work done by
// the same thread.
#pragma once

#include "core/device/cpu/thread_pool.h"
#include "core/kernels/matmul/matmul.h"

namespace sluice::cpu {

template <typename T>
void LinearForward(ThreadPool& pool, const LinearForwardArgs& args);

template <typename T>
void LinearBackwardInput(ThreadPool& pool, const LinearBackwardInputArgs& args);

template <typename T>
void LinearBackwardWeight(ThreadPool& pool, const LinearBackwardWeightArgs& args);

}  // namespace sluice::cpu
