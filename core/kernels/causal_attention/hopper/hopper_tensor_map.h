// Tensor maps: what the copy engine is told of a tensor in device memory.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "core/tensor/dtype.h"

namespace sluice::cuda {

// The boxes that attention copies: 64 rows of 64 columns (128 bytes, swizzled) of one role and
// pair.
inline constexpr int kBoxRows = 64;
inline constexpr int kBoxColumns = 64;

// A 16-bit tensor [num_rows, num_pairs, num_roles, head_dim], indexed by (column, role, pair, row).
// Boxes that reach over head_dim or num_rows are filled with zeros there.
struct AttentionTensor {
  const void* data = nullptr;
  DType dtype = DType::kBFloat16;
  int num_rows = 0;
  int num_pairs = 0;
  int num_roles = 0;
  int head_dim = 0;
};
CUtensorMap MakeTensorMap(const AttentionTensor& tensor);

}  // namespace sluice::cuda
