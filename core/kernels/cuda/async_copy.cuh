// Asynchronous copies to shared memory (cp.async) as functions; sm_80 and later.
//
// Source: PTX ISA, "Data Movement and Conversion".
#pragma once

#include <cstdint>

namespace sluice::cuda {

// Starts the copy of 16 aligned bytes from global to shared memory, past the L1 cache; where not
// `valid`, of 16 zero bytes (`from` is then not read, and must still be an address).
__device__ inline void CopyAsync(uint32_t to_shared, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to_shared), "l"(from),
               "r"(valid ? 16 : 0)
               : "memory");
}

// Makes a group of this thread's copies since the last call.
__device__ inline void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Returns when all but the newest kPending groups of this thread have arrived.  Other threads see
// them after a barrier.
template <int kPending>
__device__ inline void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Returns when all but the newest kPending groups of every thread of the block have.
template <int kPending>
__device__ inline void WaitForTiles() {
  WaitForCopies<kPending>();
  __syncthreads();
}

}  // namespace sluice::cuda
