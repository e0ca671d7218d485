// The head dimensions that the Hopper kernels are made for.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/base/check.h"

namespace sluice::cuda {

inline bool HopperSupportsHeadDim(int64_t head_dim) {
  return head_dim == 64 || head_dim == 80 || head_dim == 96 || head_dim == 128;
}

// Calls launch(std::integral_constant<int, head_dim>).
template <typename Launch>
void WithHopperHeadDim(int head_dim, Launch launch) {
  switch (head_dim) {
    case 64:
      return launch(std::integral_constant<int, 64>());
    case 80:
      return launch(std::integral_constant<int, 80>());
    case 96:
      return launch(std::integral_constant<int, 96>());
    case 128:
      return launch(std::integral_constant<int, 128>());
    default:
      SLUICE_CHECK(!"head_dim without a Hopper kernel");
  }
}

}  // namespace sluice::cuda
