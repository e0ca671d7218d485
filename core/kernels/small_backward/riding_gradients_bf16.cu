#include "core/kernels/small_backward/riding_gradients_kernel.cuh"

namespace sluice::cuda {

template void LaunchRidingGradients<__nv_bfloat16>(const RidingGradients<__nv_bfloat16>&,
                                                   const ChainPlace&);

}  // namespace sluice::cuda
