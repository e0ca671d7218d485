#include "core/kernels/causal_attention/tile/tile_attention.cuh"

namespace sluice::cuda {

template int TileSharedBytes<__half>(int);
template void LaunchTileForward<__half>(const AttentionForwardParams&, cudaStream_t);
template void LaunchTileBackward<__half>(const AttentionBackwardParams&, cudaStream_t);

}  // namespace sluice::cuda
