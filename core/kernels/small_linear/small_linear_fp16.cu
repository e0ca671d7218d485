#include "core/kernels/small_linear/small_linear.cuh"

namespace sluice::cuda {

template void LaunchSmallLinear<__half>(const SmallLinearParams& params, SmallLinearTile tile,
                                        cudaStream_t stream);

}  // namespace sluice::cuda
