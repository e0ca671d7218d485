#include "core/kernels/causal_attention/hopper/hopper_backward.cuh"
#include "core/kernels/causal_attention/hopper/hopper_forward.cuh"

namespace sluice::cuda {

template void LaunchHopperForward<__nv_bfloat16>(const AttentionForwardParams&, cudaStream_t);
template void LaunchHopperBackward<__nv_bfloat16>(const AttentionBackwardParams&, cudaStream_t);

}  // namespace sluice::cuda
