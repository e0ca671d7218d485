#include "core/kernels/small_backward/attention_gradient_kernel.cuh"

namespace sluice::cuda {

template void LaunchAttentionGradient<__half>(const AttentionBackwardParams&,
                                              const RidingGradients<__half>&, const ChainPlace&);

}  // namespace sluice::cuda
