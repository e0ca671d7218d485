// The kernel of LaunchGradientsAlone.

#include "core/device/cuda/cuda_check.h"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/small_layer/piggybacked_gradients.cuh"

namespace sluice::cuda {

template <typename T>
__global__ void __launch_bounds__(kTileThreads)
    PiggybackedGradientsKernel(const __grid_constant__ PiggybackedGradients<T> extra) {
  AllowNextKernel();
  extern __shared__ __align__(128) unsigned char memory[];
  RunPiggybackedBlock(extra, static_cast<int>(blockIdx.x), memory);
}

template <typename T>
void LaunchGradientsAlone(const PiggybackedGradients<T>& extra, const ChainLaunch& launch) {
  const int num_blocks = NumPiggybackedBlocks(extra);
  if (num_blocks == 0) return;
  LaunchOverlapped(&PiggybackedGradientsKernel<T>,
                   {.grid = static_cast<unsigned>(num_blocks),
                    .block = kTileThreads,
                    .shared_bytes = static_cast<size_t>(PiggybackedSharedBytes(extra)),
                    .start = launch.start},
                   launch.stream, extra);
  SLUICE_CUDA_CHECK_LAUNCH("PiggybackedGradients");
}

template void LaunchGradientsAlone<__nv_bfloat16>(const PiggybackedGradients<__nv_bfloat16>&,
                                                  const ChainLaunch&);
template void LaunchGradientsAlone<__half>(const PiggybackedGradients<__half>&, const ChainLaunch&);

}  // namespace sluice::cuda
