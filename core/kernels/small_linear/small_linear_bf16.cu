#include "core/kernels/small_linear/small_linear.cuh"

namespace sluice::cuda {

template void LaunchSmallLinear<__nv_bfloat16>(const SmallLinearParams& params,
                                               SmallLinearTile tile, cudaStream_t stream);

}  // namespace sluice::cuda
