// layer_norm.h on the CPU: a thread per range of tokens.
#pragma once

#include "core/device/cpu/thread_pool.h"
#include "core/kernels/layer_norm/layer_norm.h"

namespace sluice::cpu {

template <typename T>
void LayerNormForward(ThreadPool& pool, const LayerNormForwardArgs& args);

// `partials` [num_threads, 2, H] is scratch: each thread's sums for dweight and dbias.
template <typename T>
void LayerNormBackward(ThreadPool& pool, const LayerNormBackwardArgs& args, T* partials);

}  // namespace sluice::cpu
