#include "core/kernels/small_backward/input_gradient_kernel.cuh"

namespace sluice::cuda {

int InputGradientSharedBytes(InputGradientKind kind, int out_features) {
  return SharedBytesOf<__nv_bfloat16>(kind, out_features);
}

template void LaunchInputGradient<__nv_bfloat16>(const InputGradient<__nv_bfloat16>&,
                                                 const RidingGradients<__nv_bfloat16>&,
                                                 const ChainPlace&);

}  // namespace sluice::cuda
