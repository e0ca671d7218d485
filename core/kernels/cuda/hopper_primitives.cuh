// Hopper's own instructions as functions: mbarriers, the bulk tensor copy engine (TMA), register
// reallocation.  sm_90a only.
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
