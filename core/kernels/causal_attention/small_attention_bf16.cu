#include "core/kernels/causal_attention/small_attention.cuh"

namespace sluice::cuda {

template void LaunchSmallAttentionForward<__nv_bfloat16>(const AttentionForwardParams& params,
                                                         cudaStream_t stream);

}  // namespace sluice::cuda
