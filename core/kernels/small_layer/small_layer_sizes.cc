#include "core/kernels/small_layer/small_layer_sizes.h"

#include "core/base/checked_math.h"

namespace sluice {
namespace {

// See WarpSplit in small_product.cuh: what a warp's registers hold of K.
constexpr int64_t kBlockTokens = 16;
constexpr int64_t kChunkSize = 32;
constexpr int64_t kMaxChunks = 8;
constexpr int64_t kMaxNormChunks = 4;

// With this many blocks a wider tile is worth its longer time: about the multiprocessors of a GPU.
constexpr int64_t kEnoughBlocks = 128;

// Up to here all 26 shapes that linear_forward_timing was run for on an H100 (16 to 512 tokens, 128
// to 2048 features) took 1.3 to 2.7 times as long by cuBLASLt, and 1.8 to 2.7 times with a norm in
// front; with two to three times as many products it begins to be the faster one.
constexpr int64_t kMaxProducts = int64_t{1} << 25;

constexpr int64_t kMaxSmallKeys = 128;
constexpr int64_t kMaxSmallQueries = 512;  // of all sequences and heads

// Backward: what the kernels are compiled for.
constexpr int64_t kBackwardFeatureMultiple = 64;
constexpr int64_t kMaxBackwardFeatures = 1024;
constexpr int64_t kMaxBackwardNormFeatures = 256;

// Chosen for layers whose launches cost more than their arithmetic; not measured against the plain
// kernels above hidden size 256 and 128 tokens.
constexpr int64_t kMaxBackwardTokens = 512;

int64_t NumColumns(SmallLinearTile tile) {
  switch (tile) {
    case SmallLinearTile::k16:
      return 16;
    case SmallLinearTile::k32:
      return 32;
    case SmallLinearTile::k64:
      return 64;
  }
  return 0;
}

int64_t NumInputParts(SmallLinearTile tile) { return tile == SmallLinearTile::k64 ? 4 : 8; }

bool Fits(const LinearSizes& sizes, SmallLinearTile tile, int64_t max_chunks) {
  const int64_t num_chunks = CeilDiv(sizes.num_inputs, NumInputParts(tile) * kChunkSize);
  return sizes.num_inputs % kChunkSize == 0 && sizes.num_outputs % NumColumns(tile) == 0 &&
         num_chunks <= max_chunks;
}

SmallLinearTile Choose(const LinearSizes& sizes, int64_t max_chunks) {
  const int64_t num_token_tiles = CeilDiv(sizes.num_tokens, kBlockTokens);
  for (const SmallLinearTile tile : {SmallLinearTile::k64, SmallLinearTile::k32}) {
    const int64_t num_blocks = num_token_tiles * sizes.num_outputs / NumColumns(tile);
    if (num_blocks >= kEnoughBlocks && Fits(sizes, tile, max_chunks)) return tile;
  }
  return SmallLinearTile::k16;
}

}  // namespace

bool CanRunSmallLinear(const LinearSizes& sizes, SmallLinearTile tile) {
  return Fits(sizes, tile, kMaxChunks);
}

bool CanRunSmallNormLinear(const LinearSizes& sizes, SmallLinearTile tile) {
  return Fits(sizes, tile, kMaxNormChunks);
}

bool PrefersSmallLinear(const LinearSizes& sizes) {
  return sizes.num_tokens * sizes.num_inputs * sizes.num_outputs <= kMaxProducts;
}

SmallLinearTile ChooseSmallLinearTile(const LinearSizes& sizes) {
  return Choose(sizes, kMaxChunks);
}

SmallLinearTile ChooseSmallNormLinearTile(const LinearSizes& sizes) {
  return Choose(sizes, kMaxNormChunks);
}

bool CanRunSmallLinearBackward(const LinearSizes& sizes) {
  return sizes.num_outputs <= kMaxBackwardFeatures && sizes.num_inputs <= kMaxBackwardFeatures &&
         sizes.num_outputs % kBackwardFeatureMultiple == 0 &&
         sizes.num_inputs % kBackwardFeatureMultiple == 0;
}

bool CanRunSmallNormLinearBackward(const LinearSizes& sizes) {
  return CanRunSmallLinearBackward(sizes) && sizes.num_inputs <= kMaxBackwardNormFeatures;
}

bool PrefersSmallLinearBackward(const LinearSizes& sizes) {
  return sizes.num_tokens <= kMaxBackwardTokens;
}

bool CanRunSmallAttention(const AttentionSizes& sizes) {
  return sizes.head_dim == 64 || sizes.head_dim == 128;
}

bool PrefersSmallAttention(const AttentionSizes& sizes) {
  return sizes.prefix_len + sizes.slice_len <= kMaxSmallKeys &&
         sizes.slice_len * sizes.batch_size * sizes.num_heads <= kMaxSmallQueries;
}

bool CanRunSmallAttentionBackward(const AttentionSizes& sizes, int64_t max_shared_bytes) {
  return sizes.prefix_len == 0 && sizes.slice_len <= kMaxAttentionGradientLen &&
         sizes.head_dim % 16 == 0 && sizes.head_dim <= 128 &&
         AttentionGradientSharedBytes(sizes.slice_len, sizes.head_dim) <= max_shared_bytes;
}

bool PrefersSmallAttentionBackward(const AttentionSizes& sizes) {
  return sizes.slice_len * sizes.batch_size <= kMaxBackwardTokens;
}

}  // namespace sluice
