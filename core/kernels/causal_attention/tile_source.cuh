// The columns of tiles of 64 queries or keys, and where these lie in device memory, for the kernels
// of tile_attention.h and fma_attention.h.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/base/check.h"
#include "core/kernels/causal_attention/attention_params.h"

namespace sluice::cuda {

inline int NumTiles(int length) { return (length + kAttentionTile - 1) / kAttentionTile; }

// Calls launch(std::integral_constant<int, D>) with the smallest D that holds head_dim.
template <typename Launch>
void WithTileColumns(int head_dim, Launch launch) {
  SLUICE_CHECK(head_dim > 0 && head_dim <= 128 && head_dim % 8 == 0);
  if (head_dim <= 16) return launch(std::integral_constant<int, 16>());
  if (head_dim <= 32) return launch(std::integral_constant<int, 32>());
  if (head_dim <= 64) return launch(std::integral_constant<int, 64>());
  if (head_dim <= 80) return launch(std::integral_constant<int, 80>());
  if (head_dim <= 96) return launch(std::integral_constant<int, 96>());
  return launch(std::integral_constant<int, 128>());
}

struct TileSource {
  const void* from;
  int64_t row_stride;  // elements
  int num_rows;        // valid, from `from` on
  int num_columns;     // valid
};

// Which of the q, k and v of a position.
enum class Role : uint8_t { kQuery, kKey, kValue };

template <typename T>
__device__ inline TileSource QkvRows(const AttentionShape& shape, const void* qkv, int pair,
                                     Role role, int begin) {
  const int64_t stride = int64_t{3} * shape.num_pairs * shape.head_dim;
  const T* from = static_cast<const T*>(qkv) + begin * stride +
                  (int64_t{3} * pair + static_cast<int>(role)) * shape.head_dim;
  return {from, stride, shape.num_keys - begin, shape.head_dim};
}

// Of out or dout: rows of the slice's queries.
template <typename T>
__device__ inline TileSource QueryRows(const AttentionShape& shape, const void* x, int pair,
                                       int begin) {
  const int64_t stride = int64_t{shape.num_pairs} * shape.head_dim;
  return {static_cast<const T*>(x) + begin * stride + int64_t{pair} * shape.head_dim, stride,
          shape.slice_len - begin, shape.head_dim};
}

// The queries of a block that owns a tile of them, and the last key that one of them sees.
struct QueryTile {
  int pair;
  int first_query;
  int last_key;
};

__device__ inline QueryTile OwnQueryTile(const AttentionShape& shape) {
  // The last tiles have the most keys: they start first.
  const unsigned index = gridDim.x - 1 - blockIdx.x;
  const int first_query = static_cast<int>(index / shape.num_pairs) * kAttentionTile;
  return {static_cast<int>(index % shape.num_pairs), first_query,
          shape.prefix_len + min(first_query + kAttentionTile, shape.slice_len) - 1};
}

}  // namespace sluice::cuda
