// What a block of small_linear.h owns besides its 16 tokens.
#pragma once

#include <cstdint>

namespace sluice::cuda {

enum class SmallLinearTile : uint8_t {
  k16,  // columns; 8 warps split K
  k32,  // columns; 8 warps split K
  k64,  // columns; 4 warps split K, 2 the columns
};

}  // namespace sluice::cuda
