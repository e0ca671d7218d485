#include "core/kernels/causal_attention/tile/tile_attention.cuh"

namespace sluice::cuda {

template int TileSharedBytes<__nv_bfloat16>(int);
template void LaunchTileForward<__nv_bfloat16>(const AttentionForwardParams&, cudaStream_t);
template void LaunchTileBackward<__nv_bfloat16>(const AttentionBackwardParams&, cudaStream_t);

}  // namespace sluice::cuda
