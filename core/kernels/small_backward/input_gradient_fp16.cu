#include "core/kernels/small_backward/input_gradient_kernel.cuh"

namespace sluice::cuda {

template void LaunchInputGradient<__half>(const InputGradient<__half>&,
                                          const RidingGradients<__half>&, const ChainPlace&);

}  // namespace sluice::cuda
