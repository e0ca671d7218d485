#include "core/kernels/matmul/hopper_matmul.cuh"

namespace sluice::cuda {

template void LaunchHopperMatmul<__nv_bfloat16>(int, const HopperMatmulArgs&, cudaStream_t);

}  // namespace sluice::cuda
