#include "core/kernels/matmul/hopper_matmul.cuh"

namespace sluice::cuda {

template void LaunchHopperMatmul<__half>(int, const HopperMatmulArgs&, cudaStream_t);

}  // namespace sluice::cuda
