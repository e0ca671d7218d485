#include "core/kernels/causal_attention/tile_attention.cuh"

namespace sluice::cuda {

template int TileSharedBytes<float>(int);
template void LaunchTileForward<float>(const AttentionForwardParams&, cudaStream_t);
template void LaunchTileBackward<float>(const AttentionBackwardParams&, cudaStream_t);

}  // namespace sluice::cuda
