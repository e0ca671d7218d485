// The kernel of LaunchRidingGradients.

#include "core/device/cuda/cuda_check.h"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/small_backward/riding_gradients.cuh"

namespace sluice::cuda {

template <typename T>
__global__ void __launch_bounds__(kTileThreads)
    RidingGradientsKernel(const __grid_constant__ RidingGradients<T> riding) {
  AllowNextKernel();
  extern __shared__ __align__(128) unsigned char memory[];
  RunRidingBlock(riding, static_cast<int>(blockIdx.x), memory);
}

template <typename T>
void LaunchRidingGradients(const RidingGradients<T>& riding, const ChainPlace& place) {
  const int num_blocks = NumRidingBlocks(riding);
  if (num_blocks == 0) return;
  LaunchOverlapped(&RidingGradientsKernel<T>,
                   {.grid = static_cast<unsigned>(num_blocks),
                    .block = kTileThreads,
                    .shared_bytes = static_cast<size_t>(RidingSharedBytes(riding)),
                    .start = place.start},
                   place.stream, riding);
  SLUICE_CUDA_CHECK_LAUNCH("RidingGradients");
}

template void LaunchRidingGradients<__nv_bfloat16>(const RidingGradients<__nv_bfloat16>&,
                                                   const ChainPlace&);
template void LaunchRidingGradients<__half>(const RidingGradients<__half>&, const ChainPlace&);

}  // namespace sluice::cuda
