// The tensor cores' 16-bit product mma.sync m16n8k16, and what brings its operands from shared
// memory into registers; on any GPU from sm_80 on.
//
// Of a product d[16, 8] += a[16, 16] b[16, 8], lane 4 g + t of a warp holds
//
//   d   rows g (d[0], d[1]) and g + 8 (d[2], d[3]), columns 2 t and 2 t + 1
//   a   a[0]: row g, k 2 t and 2 t + 1; a[1]: row g + 8, the same k; a[2], a[3]: the same rows, k +
//   8 b   b0: k 2 t and 2 t + 1, column g; b1: k + 8, the same column
//
// two elements a register, the one with the lower k in the low half.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace sluice::cuda {

// Four 8 x 8 matrices: lane i gives the shared address of row i % 8 of matrix i / 8, 16 bytes at a
// multiple of 16.  r[m] of lane 4 g + t becomes elements 2 t and 2 t + 1 of row g of matrix m; for
// Transposed, elements g of rows 2 t and 2 t + 1.
__device__ inline void LoadMatrices(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
__device__ inline void LoadMatricesTransposed(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

template <typename T>
__device__ inline void MultiplyAccumulate(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                          uint32_t b1) {
  if constexpr (std::is_same_v<T, __half>) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}

}  // namespace sluice::cuda
