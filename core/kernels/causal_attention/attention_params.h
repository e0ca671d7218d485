// What the attention kernels are given: raw pointers and sizes, already checked.
//
// A pair is a (sequence, head): pair = sequence * num_heads + head.  Every pair is an independent
// attention problem, and the pairs of one position lie side by side.
#pragma once

#include <cstdint>

#include "core/kernels/write_mode.h"

namespace sluice::cuda {

// Query i of the slice sees keys 0 .. prefix_len + i.
struct AttentionShape {
  int prefix_len = 0;
  int slice_len = 0;
  int num_keys = 0;  // prefix_len + slice_len
  int num_pairs = 0;
  int head_dim = 0;
};

// Queries or keys of a tile in the kernels of tile_attention.h and fma_attention.h.
inline constexpr int kAttentionTile = 64;

struct AttentionForwardParams {
  AttentionShape shape;
  const void* qkv = nullptr;  // [num_keys, num_pairs, 3, head_dim]
  void* out = nullptr;        // [slice_len, num_pairs, head_dim]
  float* lse = nullptr;       // [slice_len, num_pairs]
};

// Queries are padded to a multiple of this in the per-query statistics of the backward, with
// values that make padded queries contribute exactly zero.
inline constexpr int kStatisticsPadding = 128;

struct AttentionBackwardParams {
  AttentionShape shape;
  const void* qkv = nullptr;   // [num_keys, num_pairs, 3, head_dim]
  const void* out = nullptr;   // [slice_len, num_pairs, head_dim]
  const float* lse = nullptr;  // [slice_len, num_pairs]
  const void* dout = nullptr;  // [slice_len, num_pairs, head_dim]
  void* dqkv = nullptr;        // [slice_len, num_pairs, 3, head_dim]
  // [num_keys, num_pairs, 2, head_dim]
  float* dkv_accumulator = nullptr;
  WriteMode write_mode = WriteMode::kOverwrite;
  // [num_pairs, padded slice_len] each, written by LaunchAttentionStatistics: lse in units of
  // log 2, and the row sums of dout * out.
  float* lse2 = nullptr;
  float* delta = nullptr;
  int padded_slice_len = 0;
  // [1 + num_pairs * padded_slice_len / kAttentionTile], zeroed by LaunchAttentionStatistics, for
  // kernels whose blocks take turns (block_turns.cuh): how many blocks have started; of each pair
  // and tile of queries, how many tiles of keys have added their part to dq.
  unsigned* turns = nullptr;
};

inline constexpr float kLog2e = 1.4426950408889634f;

}  // namespace sluice::cuda
