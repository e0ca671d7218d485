#include "core/kernels/causal_attention/hopper_launch.h"

namespace sluice::cuda {

bool HopperSupportsHeadDim(int64_t head_dim) {
  return head_dim == 64 || head_dim == 80 || head_dim == 96 || head_dim == 128;
}

}  // namespace sluice::cuda
