// Tensor maps: what Hopper's copy engine (TMA) is told of a 16-bit tensor in device memory.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <vector>

#include "core/tensor/dtype.h"

namespace sluice::cuda {

// One extent of a tensor, innermost first, and how much of it a box holds.
struct TensorMapExtent {
  int64_t size = 0;
  int box_size = 1;
};

// The map of a contiguous tensor of bf16 or fp16 at `data`, a multiple of 16, whose rows are a
// multiple of 16 bytes.  Boxes are 64 elements (128 bytes) wide and written to shared memory with
// the 128-byte swizzle; what reaches over the tensor is filled with zeros.
CUtensorMap MakeTensorMap(const void* data, DType dtype,
                          const std::vector<TensorMapExtent>& extents);

}  // namespace sluice::cuda
