// Causal attention of one slice of queries over a cached prefix and itself, forward and backward,
// without a [T, T] matrix.
//
// qkv holds positions 0 .. prefix_len + slice_len - 1 of all sequences, as in_proj writes them:
// head-major, D of q, then D of k, then D of v.  Its rows before prefix_len are the key/value
// cache.  Query i of the slice attends to positions 0 .. prefix_len + i.  Scores are scaled by
// D^-0.5; softmax runs online in the accumulator type over blocks of keys (Dao et al.,
// FlashAttention, 2205.14135; 2307.08691).
//
// Shapes: L = slice_len, P = prefix_len, B sequences, N heads (those of this rank), D = head_dim.
#pragma once

#include "core/kernels/write_mode.h"
#include "core/tensor/tensor.h"

namespace sluice {

//   qkv  [P + L or more, B, N, 3, D]  read
//   out  [L, B, N, D]                 overwritten
//   lse  [L, B, N]                    overwritten, accumulator type: log of the sum of
//                                     exp(scaled score)
struct CausalAttentionForwardArgs {
  Tensor qkv;
  int64_t prefix_len = 0;
  Tensor out;
  Tensor lse;

  int64_t slice_len() const { return out.num_rows(); }
};

// Slices run in reverse order.  The gradient of a key or value at position j gathers contributions
// of all slices from j's own to the last; those that come before its own slice's turn wait in
// dkv_accumulator.
//
//   qkv, out, lse    as in the forward, read
//   dout             [L, B, N, D]     read
//   dqkv             [L, B, N, 3, D]  overwritten: complete gradients of the slice's own q, k, v
//                                     (k, v: this slice's contribution + the accumulator's
//                                     rows P .. P + L - 1)
//   dkv_accumulator  [P + L or more, B, N, 2, D], accumulator type: dk and dv by position
//
// kOverwrite is for the first backward of the sequence, its last slice: rows 0 .. P - 1 of
// dkv_accumulator are overwritten and nothing is read.  kAccumulate reads rows P .. P + L - 1 and
// accumulates rows 0 .. P - 1.  It may be absent for kOverwrite with P = 0.
struct CausalAttentionBackwardArgs {
  Tensor qkv;
  int64_t prefix_len = 0;
  Tensor out;
  Tensor lse;
  Tensor dout;
  Tensor dqkv;
  Tensor dkv_accumulator;
  WriteMode write_mode = WriteMode::kOverwrite;

  int64_t slice_len() const { return out.num_rows(); }
};

}  // namespace sluice
