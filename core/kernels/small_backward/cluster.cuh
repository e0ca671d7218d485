// What the blocks of a cluster use to meet (sm_90): its barrier, and stores into each other's
// shared memory.
#pragma once

#include <cstdint>

#include "core/kernels/cuda/device_math.cuh"

namespace sluice::cuda {

// The barrier of all threads of the cluster, in two halves.
__device__ inline void ArriveAtCluster() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
__device__ inline void WaitForCluster() {
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// Stores into the shared memory of block `rank` of the cluster, at the place that `own` has here.
__device__ inline void StoreToBlock(int rank, float2* own, float2 value) {
  uint32_t address;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
               : "=r"(address)
               : "r"(SharedAddress(own)), "r"(rank));
  asm volatile("st.shared::cluster.v2.f32 [%0], {%1, %2};" ::"r"(address), "f"(value.x),
               "f"(value.y)
               : "memory");
}

}  // namespace sluice::cuda
