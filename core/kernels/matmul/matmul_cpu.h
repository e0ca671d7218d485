// matmul.h on the CPU: the product of core/kernels/cpu/gemm.h on each thread's share, the
// surrounding elementwise work done by the same thread.  `scratch` has GemmScratchSize<T>()
// elements for each thread of the pool.
#pragma once

#include "core/device/cpu/thread_pool.h"
#include "core/kernels/matmul/matmul.h"

namespace sluice::cpu {

template <typename T>
void LinearForward(ThreadPool& pool, const LinearForwardArgs& args, T* scratch);

template <typename T>
void LinearBackwardInput(ThreadPool& pool, const LinearBackwardInputArgs& args, T* scratch);

template <typename T>
void LinearBackwardWeight(ThreadPool& pool, const LinearBackwardWeightArgs& args, T* scratch);

}  // namespace sluice::cpu
