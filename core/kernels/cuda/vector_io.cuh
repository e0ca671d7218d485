// Loads and stores of several neighbouring elements in one 16-byte access, and the reductions of a
// block.  In device code every element is a float, whatever it is in memory.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "core/kernels/cuda/vector_access.h"

namespace sluice::cuda {

constexpr int kWarpSize = 32;

__device__ inline float LoadAsFloat(const float* p) { return *p; }
__device__ inline float LoadAsFloat(const __nv_bfloat16* p) { return __bfloat162float(*p); }
__device__ inline float LoadAsFloat(const __half* p) { return __half2float(*p); }

__device__ inline void StoreFloat(float* p, float x) { *p = x; }
__device__ inline void StoreFloat(__nv_bfloat16* p, float x) { *p = __float2bfloat16_rn(x); }
__device__ inline void StoreFloat(__half* p, float x) { *p = __float2half_rn(x); }

// values[i] = from[i].  kSize is 1 or a multiple of kVectorSize<T>, and then `from` is aligned.
template <int kSize, typename T>
__device__ inline void LoadVector(const T* from, float (&values)[kSize]) {
  if constexpr (kSize % kVectorSize<T> == 0) {
#pragma unroll
    for (int v = 0; v < kSize / kVectorSize<T>; ++v) {
      const uint4 raw = reinterpret_cast<const uint4*>(from)[v];
      const T* elements = reinterpret_cast<const T*>(&raw);
#pragma unroll
      for (int i = 0; i < kVectorSize<T>; ++i) {
        values[v * kVectorSize<T> + i] = LoadAsFloat(elements + i);
      }
    }
  } else {
#pragma unroll
    for (int i = 0; i < kSize; ++i) values[i] = LoadAsFloat(from + i);
  }
}

// to[i] = values[i], rounded to nearest.
template <int kSize, typename T>
__device__ inline void StoreVector(T* to, const float (&values)[kSize]) {
  if constexpr (kSize % kVectorSize<T> == 0) {
#pragma unroll
    for (int v = 0; v < kSize / kVectorSize<T>; ++v) {
      uint4 raw;
      T* elements = reinterpret_cast<T*>(&raw);
#pragma unroll
      for (int i = 0; i < kVectorSize<T>; ++i) {
        StoreFloat(elements + i, values[v * kVectorSize<T> + i]);
      }
      reinterpret_cast<uint4*>(to)[v] = raw;
    }
  } else {
#pragma unroll
    for (int i = 0; i < kSize; ++i) StoreFloat(to + i, values[i]);
  }
}

template <typename T>
__device__ inline T WarpSum(T x) {
#pragma unroll
  for (int mask = kWarpSize / 2; mask > 0; mask /= 2) x += __shfl_xor_sync(0xffffffffu, x, mask);
  return x;
}

// The sum over the threads of a one-dimensional block of whole warps; every thread gets it.  All
// threads call; `shared` has room for one value a warp and may be used again after the next
// barrier.  The order of the sum depends on the number of threads alone.
template <typename T>
__device__ inline T BlockSum(T x, T* shared) {
  x = WarpSum(x);
  const int num_warps = static_cast<int>(blockDim.x) / kWarpSize;
  if (num_warps == 1) return x;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  if (lane == 0) shared[warp] = x;
  __syncthreads();
  return WarpSum(lane < num_warps ? shared[lane] : T{0});
}

}  // namespace sluice::cuda
