// The kernels of input_gradient.h.

#include <algorithm>

#include "core/base/check.h"
#include "core/device/cuda/cuda_check.h"
#include "core/kernels/cuda/dependent_launch.cuh"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/small_backward/input_gradient_tile.cuh"
#include "core/kernels/small_backward/riding_gradients.cuh"

namespace sluice::cuda {

template <typename T, InputGradientKind kKind>
__host__ __device__ inline int NumInputGradientTiles(const InputGradient<T>& input) {
  return (input.num_tokens + kTileRows - 1) / kTileRows *
         (input.in_features / kInputGradientColumns<kKind>);
}

template <typename T, InputGradientKind kKind>
__global__ void __launch_bounds__(kTileThreads)
    InputGradientKernel(const __grid_constant__ InputGradient<T> input,
                        const __grid_constant__ RidingGradients<T> riding) {
  AllowNextKernel();
  extern __shared__ __align__(128) unsigned char memory[];
  const int num_tiles = NumInputGradientTiles<T, kKind>(input);
  const int block = static_cast<int>(blockIdx.x);
  if (block < num_tiles) {
    InputGradientTile<T, kKind>(input, block, memory).Run();
  } else {
    RunRidingBlock(riding, block - num_tiles, memory);
  }
}

template <typename T, InputGradientKind kKind>
void LaunchKind(const InputGradient<T>& input, const RidingGradients<T>& riding,
                const ChainPlace& place) {
  const auto kernel = &InputGradientKernel<T, kKind>;
  const int shared_bytes = std::max(InputGradientTile<T, kKind>::SharedBytes(input.out_features),
                                    RidingSharedBytes(riding));
  AllowSharedBytes(kernel, shared_bytes);
  const int cluster_size =
      kKind == InputGradientKind::kNorm ? input.in_features / kInputGradientColumns<kKind> : 1;
  const int num_blocks = NumInputGradientTiles<T, kKind>(input) + NumRidingBlocks(riding);
  const int num_clusters = (num_blocks + cluster_size - 1) / cluster_size;
  LaunchOverlapped(kernel,
                   {.grid = static_cast<unsigned>(num_clusters * cluster_size),
                    .block = kTileThreads,
                    .shared_bytes = static_cast<size_t>(shared_bytes),
                    .cluster_size = static_cast<unsigned>(cluster_size),
                    .start = place.start},
                   place.stream, input, riding);
  SLUICE_CUDA_CHECK_LAUNCH("InputGradient");
}

int InputGradientSharedBytes(InputGradientKind kind, int out_features) {
  using T = __nv_bfloat16;  // as __half
  switch (kind) {
    case InputGradientKind::kPlain:
      return InputGradientTile<T, InputGradientKind::kPlain>::SharedBytes(out_features);
    case InputGradientKind::kRelu:
      return InputGradientTile<T, InputGradientKind::kRelu>::SharedBytes(out_features);
    case InputGradientKind::kNorm:
      return InputGradientTile<T, InputGradientKind::kNorm>::SharedBytes(out_features);
  }
  return 0;
}

template <typename T>
void LaunchInputGradient(const InputGradient<T>& input, const RidingGradients<T>& riding,
                         const ChainPlace& place) {
  switch (input.kind) {
    case InputGradientKind::kPlain:
      return LaunchKind<T, InputGradientKind::kPlain>(input, riding, place);
    case InputGradientKind::kRelu:
      return LaunchKind<T, InputGradientKind::kRelu>(input, riding, place);
    case InputGradientKind::kNorm:
      return LaunchKind<T, InputGradientKind::kNorm>(input, riding, place);
  }
}

template void LaunchInputGradient<__nv_bfloat16>(const InputGradient<__nv_bfloat16>&,
                                                 const RidingGradients<__nv_bfloat16>&,
                                                 const ChainPlace&);
template void LaunchInputGradient<__half>(const InputGradient<__half>&,
                                          const RidingGradients<__half>&, const ChainPlace&);

}  // namespace sluice::cuda
