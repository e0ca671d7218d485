#include "core/kernels/small_backward/attention_gradient_kernel.cuh"

namespace sluice::cuda {

int AttentionGradientSharedBytes(const AttentionShape& shape) {
  return AttentionGradientMemory<__nv_bfloat16>::SizeBytes(shape);
}

template void LaunchAttentionGradient<__nv_bfloat16>(const AttentionBackwardParams&,
                                                     const RidingGradients<__nv_bfloat16>&,
                                                     const ChainPlace&);

}  // namespace sluice::cuda
