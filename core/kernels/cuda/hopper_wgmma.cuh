// Warpgroup matrix products (wgmma) of 16-bit tiles in shared memory, accumulated in float32
// registers.  sm_90a only.
//
// Tiles in shared memory are made of column blocks of 64 elements (128 bytes), each block
// [rows, 64] with the 128-byte swizzle that the copy engine writes.  A warpgroup computes 64 rows;
// thread t of it holds rows 16 (t / 32) + t % 32 / 4 (+ 8) and, of every 8 columns, the two from
// 2 (t % 4): accumulator[4 j + 2 h + c] is row (+ 8 h), column 8 j + 2 (t % 4) + c.
//
// Source: PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions".
#pragma once

#include <type_traits>

#include "core/kernels/cuda/hopper_primitives.cuh"

namespace sluice::cuda {

inline constexpr int kBlockColumns = 64;
inline constexpr int kBlockRowBytes = 128;

template <int D>
inline constexpr int kColumnBlocks = (D + kBlockColumns - 1) / kBlockColumns;

// Bytes of a tile of kRows rows.
template <int D, int kRows>
inline constexpr int kTileBytes = kColumnBlocks<D>* kRows* kBlockRowBytes;

// Row of the warpgroup's 64 that the thread's accumulators begin at; the other is 8 further.
__device__ __forceinline__ int AccumulatorRow() {
  return static_cast<int>(threadIdx.x) % kWarpgroupThreads / 32 * 16 +
         static_cast<int>(threadIdx.x) % 32 / 4;
}

// Accumulators may be read and operands overwritten only after a wait; the compiler is told by
// PinRegisters.
__device__ inline void BeginProducts() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void CommitProducts() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kPending>
__device__ inline void WaitForProducts() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
template <int kCount>
__device__ inline void PinRegisters(float (&x)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(x[i])::"memory");
}

// Describes a tile in shared memory from `tile` on.  Rows are kBlockRowBytes apart, groups of 8
// rows 1024 bytes; block_bytes from one column block to the next counts where columns are not the
// summed index.
__device__ inline uint64_t DescribeTile(const void* tile, int block_bytes) {
  const uint64_t address = (SharedAddress(tile) & 0x3ffff) >> 4;
  const uint64_t leading = static_cast<uint64_t>(block_bytes >> 4) << 16;
  const uint64_t stride = uint64_t{1024 >> 4} << 32;
  const uint64_t swizzle_128_bytes = uint64_t{1} << 62;
  return address | leading | stride | swizzle_128_bytes;
}

#define SLUICE_F4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define SLUICE_F8(d, i) SLUICE_F4(d, i), SLUICE_F4(d, i + 4)
#define SLUICE_F32(d) SLUICE_F8(d, 0), SLUICE_F8(d, 8), SLUICE_F8(d, 16), SLUICE_F8(d, 24)
#define SLUICE_F40(d) SLUICE_F32(d), SLUICE_F8(d, 32)
#define SLUICE_F48(d) SLUICE_F40(d), SLUICE_F8(d, 40)
#define SLUICE_F64(d) SLUICE_F48(d), SLUICE_F8(d, 48), SLUICE_F8(d, 56)
#define SLUICE_F76(d) SLUICE_F64(d), SLUICE_F8(d, 64), SLUICE_F4(d, 72)
#define SLUICE_F100(d) SLUICE_F76(d), SLUICE_F8(d, 76), SLUICE_F8(d, 84), SLUICE_F8(d, 92)
#define SLUICE_N32                                                         \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define SLUICE_N40 SLUICE_N32 ", %32, %33, %34, %35, %36, %37, %38, %39"
#define SLUICE_N48 SLUICE_N40 ", %40, %41, %42, %43, %44, %45, %46, %47"
#define SLUICE_N64 \
  SLUICE_N48 ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define SLUICE_N76 SLUICE_N64 ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75"
#define SLUICE_N100                                                          \
  SLUICE_N76                                                                 \
  ", %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, " \
  "%90, %91, %92, %93, %94, %95, %96, %97, %98, %99"

// d += a b^T with a [64, 16] and b [N, 16] in shared memory; REGISTERS = N / 2, then the numbers of
// the next three asm operands.
#define SLUICE_WGMMA_SHARED(N, TYPE, REGISTERS, A, B, P)                           \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #P                             \
               ", 0;\n"                                                            \
               "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE     \
               " {" SLUICE_N##REGISTERS "}, %" #A ", %" #B ", p, 1, 1, 0, 0;\n}\n" \
               : SLUICE_F##REGISTERS(d)                                            \
               : "l"(a), "l"(b), "r"(accumulate))

// d += a b with a [64, 16] in registers and b [16, N] in shared memory.
#define SLUICE_WGMMA_REGISTERS(N, TYPE, REGISTERS, A0, A1, A2, A3, B)                          \
  asm volatile(                                                                                \
      "{\n.reg .pred p;\nsetp.eq.b32 p, 0, 0;\n"                                               \
      "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" SLUICE_N##REGISTERS \
      "}, {%" #A0 ", %" #A1 ", %" #A2 ", %" #A3 "}, %" #B ", p, 1, 1, 1;\n}\n"                 \
      : SLUICE_F##REGISTERS(d)                                                                 \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))

template <typename T, int N>
__device__ inline void MultiplySharedStep(float (&d)[N / 2], uint64_t a, uint64_t b,
                                          int accumulate) {
  static_assert(N == 64 || N == 128 || N == 152 || N == 200);
  if constexpr (std::is_same_v<T, __half>) {
    if constexpr (N == 64) SLUICE_WGMMA_SHARED(64, "f16", 32, 32, 33, 34);
    if constexpr (N == 128) SLUICE_WGMMA_SHARED(128, "f16", 64, 64, 65, 66);
    if constexpr (N == 152) SLUICE_WGMMA_SHARED(152, "f16", 76, 76, 77, 78);
    if constexpr (N == 200) SLUICE_WGMMA_SHARED(200, "f16", 100, 100, 101, 102);
  } else {
    if constexpr (N == 64) SLUICE_WGMMA_SHARED(64, "bf16", 32, 32, 33, 34);
    if constexpr (N == 128) SLUICE_WGMMA_SHARED(128, "bf16", 64, 64, 65, 66);
    if constexpr (N == 152) SLUICE_WGMMA_SHARED(152, "bf16", 76, 76, 77, 78);
    if constexpr (N == 200) SLUICE_WGMMA_SHARED(200, "bf16", 100, 100, 101, 102);
  }
}

template <typename T, int N>
__device__ inline void MultiplyRegistersStep(float (&d)[N / 2], const uint32_t* a, uint64_t b) {
  static_assert(N == 64 || N == 80 || N == 96 || N == 128);
  if constexpr (std::is_same_v<T, __half>) {
    if constexpr (N == 64) SLUICE_WGMMA_REGISTERS(64, "f16", 32, 32, 33, 34, 35, 36);
    if constexpr (N == 80) SLUICE_WGMMA_REGISTERS(80, "f16", 40, 40, 41, 42, 43, 44);
    if constexpr (N == 96) SLUICE_WGMMA_REGISTERS(96, "f16", 48, 48, 49, 50, 51, 52);
    if constexpr (N == 128) SLUICE_WGMMA_REGISTERS(128, "f16", 64, 64, 65, 66, 67, 68);
  } else {
    if constexpr (N == 64) SLUICE_WGMMA_REGISTERS(64, "bf16", 32, 32, 33, 34, 35, 36);
    if constexpr (N == 80) SLUICE_WGMMA_REGISTERS(80, "bf16", 40, 40, 41, 42, 43, 44);
    if constexpr (N == 96) SLUICE_WGMMA_REGISTERS(96, "bf16", 48, 48, 49, 50, 51, 52);
    if constexpr (N == 128) SLUICE_WGMMA_REGISTERS(128, "bf16", 64, 64, 65, 66, 67, 68);
  }
}

// scores[64, N] = a[64, D] b[N, D]^T; a and b describe the tiles' first column blocks.
template <typename T, int D, int N>
__device__ inline void MultiplyNT(float (&scores)[N / 2], uint64_t a, int a_block_bytes, uint64_t b,
                                  int b_block_bytes) {
#pragma unroll
  for (int k = 0; k < D / 16; ++k) {
    const int block = k / 4;
    const int within = k % 4 * 32;
    MultiplySharedStep<T, N>(scores, a + ((block * a_block_bytes + within) >> 4),
                             b + ((block * b_block_bytes + within) >> 4), k != 0);
  }
}

// output[64, D] += scores[64, K] b[K, D]; scores as PackScores makes them.
template <typename T, int D, int K>
__device__ inline void MultiplyNN(float (&output)[D / 2], const uint32_t (&scores)[K / 4],
                                  uint64_t b) {
#pragma unroll
  for (int k = 0; k < K / 16; ++k) {
    MultiplyRegistersStep<T, D>(output, scores + 4 * k, b + ((k * 16 * kBlockRowBytes) >> 4));
  }
}

// Accumulators of a [64, N] product as the 16-bit register operand of the next.
template <typename T, int kCount>
__device__ inline void PackScores(uint32_t (&packed)[kCount / 2], const float (&scores)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount / 2; ++i) packed[i] = Pack<T>(scores[2 * i], scores[2 * i + 1]);
}

}  // namespace sluice::cuda
