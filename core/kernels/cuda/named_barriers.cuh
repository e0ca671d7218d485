// Barriers of some of a block's warps: hardware barriers 1 .. 15, of which 0 is __syncthreads.
//
// Source: PTX ISA, "Parallel Synchronization and Communication".
#pragma once

namespace sluice::cuda {

// `num_threads` counts those that wait and those that only arrive.
__device__ inline void WaitAtNamedBarrier(int barrier, int num_threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(num_threads) : "memory");
}
__device__ inline void ArriveAtNamedBarrier(int barrier, int num_threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(num_threads) : "memory");
}

}  // namespace sluice::cuda
