// Hopper's own instructions as functions: mbarriers, the bulk tensor copy engine (TMA), named
// barriers, register reallocation.  sm_90a only.
//
// Source: PTX ISA, "Parallel Synchronization and Communication", "Data Movement and Conversion".
#pragma once

#include <cuda.h>

#include <cstdint>

#include "core/kernels/cuda/device_math.cuh"

namespace sluice::cuda {

inline constexpr int kWarpgroupThreads = 128;

__device__ inline void InitBarrier(uint64_t* barrier, int num_arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(SharedAddress(barrier)),
               "r"(num_arrivals)
               : "memory");
}

// Makes initialised barriers visible to the copy engine.
__device__ inline void FenceBarrierInit() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// One arrival, and the bytes that copies will bring before the phase completes.
__device__ inline void ArriveAndExpectBytes(uint64_t* barrier, int num_bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(SharedAddress(barrier)),
      "r"(num_bytes)
      : "memory");
}

__device__ inline void Arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(SharedAddress(barrier)) : "memory");
}

// The address, in the shared memory of another block of the cluster, of what is at `p` in this one.
__device__ inline uint32_t ClusterAddress(const void* p, int block) {
  uint32_t address;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(SharedAddress(p)), "r"(block));
  return address;
}

// One arrival at another block's barrier.
__device__ inline void ArriveAtBlock(uint64_t* barrier, int block) {
  asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(
                   ClusterAddress(barrier, block))
               : "memory");
}

// A barrier of all threads of the cluster; shared memory written before is visible after.
__device__ inline void SynchroniseCluster() {
  asm volatile("barrier.cluster.arrive;\nbarrier.cluster.wait;" ::: "memory");
}

// Stores 16 bytes at an address of ClusterAddress.
__device__ inline void StoreAtBlock(uint32_t address, const float4& x) {
  asm volatile("st.shared::cluster.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(address), "f"(x.x),
               "f"(x.y), "f"(x.z), "f"(x.w)
               : "memory");
}

// Returns when the phase of this parity has completed.
__device__ inline void Wait(uint64_t* barrier, int parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra finished;\n"
      "bra again;\n"
      "finished:\n"
      "}\n" ::"r"(SharedAddress(barrier)),
      "r"(parity)
      : "memory");
}

struct TensorCoordinates {
  int column;
  int role;
  int pair;
  int row;
};

// Copies a box of a tensor map to shared memory; its bytes count towards `barrier`.
__device__ inline void CopyBoxAsync(void* to, const CUtensorMap& map, const TensorCoordinates& at,
                                    uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, "
      "%4, %5, %6}], [%2];" ::"r"(SharedAddress(to)),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(SharedAddress(barrier)), "r"(at.column),
      "r"(at.role), "r"(at.pair), "r"(at.row)
      : "memory");
}

struct MatrixCoordinates {
  int column;
  int row;
};

// The same for a matrix.
__device__ inline void CopyBoxAsync(void* to, const CUtensorMap& map, const MatrixCoordinates& at,
                                    uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, "
      "%4}], [%2];" ::"r"(SharedAddress(to)),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(SharedAddress(barrier)), "r"(at.column),
      "r"(at.row)
      : "memory");
}

// The same to the blocks of the cluster whose bits are set in `blocks`: to the same place in the
// shared memory of each, counted by the same barrier of each.
__device__ inline void CopyBoxToBlocksAsync(void* to, const CUtensorMap& map,
                                            const MatrixCoordinates& at, uint64_t* barrier,
                                            uint16_t blocks) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::"
      "cluster [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(SharedAddress(to)),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(SharedAddress(barrier)), "r"(at.column),
      "r"(at.row), "h"(blocks)
      : "memory");
}

// Brings a box to the level 2 cache.
__device__ inline void PrefetchBox(const CUtensorMap& map, const MatrixCoordinates& at) {
  asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global [%0, {%1, %2}];" ::"l"(
                   reinterpret_cast<uint64_t>(&map)),
               "r"(at.column), "r"(at.row)
               : "memory");
}

// Copies contiguous bytes, a multiple of 16, to shared memory.
__device__ inline void CopyBytesAsync(void* to, const void* from, int num_bytes,
                                      uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(SharedAddress(to)),
      "l"(reinterpret_cast<uint64_t>(__cvta_generic_to_global(from))), "r"(num_bytes),
      "r"(SharedAddress(barrier))
      : "memory");
}

__device__ inline void PrefetchMap(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(reinterpret_cast<uint64_t>(&map)) : "memory");
}

// Orders this thread's ordinary accesses of shared memory before later ones of the copy engine.
__device__ inline void FenceAsyncProxy() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Hardware barriers 1 .. 15 (0 is __syncthreads); num_threads counts waiting and arriving ones.
__device__ inline void WaitAtNamedBarrier(int barrier, int num_threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(num_threads) : "memory");
}
__device__ inline void ArriveAtNamedBarrier(int barrier, int num_threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(num_threads) : "memory");
}

template <int kRegisters>
__device__ inline void IncreaseRegisters() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ inline void DecreaseRegisters() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// A position in a ring of stages: which stage, and the parity of its current round.
template <int kStages>
struct RingPosition {
  int stage = 0;
  int parity = 0;

  __device__ void Advance() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

}  // namespace sluice::cuda
