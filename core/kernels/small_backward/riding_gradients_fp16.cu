#include "core/kernels/small_backward/riding_gradients_kernel.cuh"

namespace sluice::cuda {

template void LaunchRidingGradients<__half>(const RidingGradients<__half>&, const ChainPlace&);

}  // namespace sluice::cuda
