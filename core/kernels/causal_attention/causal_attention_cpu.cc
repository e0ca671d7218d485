#include "core/kernels/causal_attention/causal_attention_cpu.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/kernels/cpu/gemm.h"
#include "core/kernels/cpu/vector_math.h"

namespace sluice::cpu {
namespace {

// Queries and keys of a block: its scores, 128 x 256, stay in a core's second-level cache.
constexpr int64_t kQueryBlock = 128;
constexpr int64_t kKeyBlock = 256;

// Sizes of one call, and the strides of its tensors in elements.
struct Geometry {
  int64_t slice_len, prefix_len, batch_size, num_heads, head_dim;
  int64_t qkv_stride;  // between positions of qkv and dqkv
  int64_t out_stride;  // between positions of out and dout
  int64_t lse_stride;  // between positions of lse
  int64_t dkv_stride;  // between positions of dkv_accumulator

  int64_t num_pairs() const { return batch_size * num_heads; }
};

// `out` and `lse` fix the slice; `qkv` must hold its positions and all earlier ones.
Geometry GetGeometry(const Tensor& qkv, const Tensor& out, const Tensor& lse, int64_t prefix_len) {
  const Shape& shape = out.shape();
  SLUICE_CHECK_EQ(shape.rank(), 4);
  Geometry g = {shape[0], prefix_len, shape[1], shape[2], shape[3], 0, 0, 0, 0};
  g.qkv_stride = g.num_pairs() * 3 * g.head_dim;
  g.out_stride = g.num_pairs() * g.head_dim;
  g.lse_stride = g.num_pairs();
  g.dkv_stride = g.num_pairs() * 2 * g.head_dim;
  SLUICE_CHECK_GE(qkv.num_rows(), prefix_len + g.slice_len);
  SLUICE_CHECK_EQ(qkv.row_size(), g.qkv_stride);
  SLUICE_CHECK_EQ(lse.num_elements(), g.slice_len * g.lse_stride);
  return g;
}

// The rows of one block of queries and how far its keys reach.
struct QueryBlock {
  int64_t begin;  // within the slice
  int64_t count;
  int64_t first_position;  // of its first query
  int64_t num_keys;        // of its last query

  QueryBlock(const Geometry& g, int64_t index)
      : begin(index * kQueryBlock),
        count(std::min(kQueryBlock, g.slice_len - begin)),
        first_position(g.prefix_len + begin),
        num_keys(first_position + count) {}
};

int64_t NumQueryBlocks(const Geometry& g) { return CeilDiv(g.slice_len, kQueryBlock); }

// How many of the keys key_begin .. key_begin + num_keys - 1 the query at `position` sees.
int64_t NumVisible(int64_t position, int64_t key_begin, int64_t num_keys) {
  return std::clamp<int64_t>(position + 1 - key_begin, 0, num_keys);
}

// Scratch of one thread in the forward.
template <typename T>
struct ForwardScratch {
  T* gemm;    // [GemmScratchSize<T>()]
  T* scores;  // [kQueryBlock, kKeyBlock]
  T* sums;    // [kQueryBlock, D]: of exp(score - max) * v
  T* max;     // [kQueryBlock]
  T* total;   // [kQueryBlock]: of exp(score - max)

  ForwardScratch(T* base, int64_t head_dim)
      : gemm(base),
        scores(gemm + GemmScratchSize<T>()),
        sums(scores + kQueryBlock * kKeyBlock),
        max(sums + kQueryBlock * head_dim),
        total(max + kQueryBlock) {}
};

// Turns a row of scores into exp(score - new max), zero where the key is not visible, and rescales
// the row's sums.
template <typename T>
void SoftmaxRow(T* scores, int64_t num_visible, int64_t num_keys, int64_t head_dim, T* max,
                T* total, T* sums) {
  if (num_visible > 0) {
    const T new_max = std::max(*max, Max(scores, num_visible));
    const T correction = std::exp(*max - new_max);
    *total = *total * correction + ExpShiftedInPlace(scores, num_visible, new_max);
    if (correction != 1) {
#pragma omp simd
      for (int64_t d = 0; d < head_dim; ++d) sums[d] *= correction;
    }
    *max = new_max;
  }
  std::fill(scores + num_visible, scores + num_keys, T{0});
}

// One block of queries of one (sequence, head) `pair` against all its keys.
template <typename T>
void ForwardBlock(const Geometry& g, const CausalAttentionForwardArgs& args, int64_t pair,
                  const QueryBlock& block, const ForwardScratch<T>& s) {
  const int64_t d = g.head_dim;
  const T scale = 1 / std::sqrt(static_cast<T>(d));
  const T* head = args.qkv.Data<T>() + pair * 3 * d;
  const T* q = head + block.first_position * g.qkv_stride;
  std::fill(s.sums, s.sums + block.count * d, T{0});
  std::fill(s.total, s.total + block.count, T{0});
  std::fill(s.max, s.max + block.count, -std::numeric_limits<T>::infinity());
  for (int64_t key = 0; key < block.num_keys; key += kKeyBlock) {
    const int64_t num_keys = std::min(kKeyBlock, block.num_keys - key);
    const T* k = head + key * g.qkv_stride + d;
    Gemm<T>({block.count, num_keys, d}, scale, {q, g.qkv_stride},
            {k, g.qkv_stride, Transpose::kYes}, WriteMode::kOverwrite, {s.scores, kKeyBlock},
            s.gemm);
    for (int64_t i = 0; i < block.count; ++i) {
      SoftmaxRow(s.scores + i * kKeyBlock, NumVisible(block.first_position + i, key, num_keys),
                 num_keys, d, s.max + i, s.total + i, s.sums + i * d);
    }
    Gemm<T>({block.count, d, num_keys}, 1, {s.scores, kKeyBlock}, {k + d, g.qkv_stride},
            WriteMode::kAccumulate, {s.sums, d}, s.gemm);
  }
  for (int64_t i = 0; i < block.count; ++i) {
    T* out = args.out.Data<T>() + (block.begin + i) * g.out_stride + pair * d;
    const T inverse = 1 / s.total[i];
#pragma omp simd
    for (int64_t j = 0; j < d; ++j) out[j] = s.sums[i * d + j] * inverse;
    args.lse.Data<T>()[(block.begin + i) * g.lse_stride + pair] = s.max[i] + std::log(s.total[i]);
  }
}

// Scratch of one thread in the backward.
template <typename T>
struct BackwardScratch {
  T* gemm;    // [GemmScratchSize<T>()]
  T* probs;   // [kQueryBlock, kKeyBlock]
  T* dprobs;  // [kQueryBlock, kKeyBlock]
  T* delta;   // [kQueryBlock]: the dot product of out and dout

  explicit BackwardScratch(T* base)
      : gemm(base),
        probs(gemm + GemmScratchSize<T>()),
        dprobs(probs + kQueryBlock * kKeyBlock),
        delta(dprobs + kQueryBlock * kKeyBlock) {}
};

// Where dk and dv of a position go: the slice's own rows of dqkv, or the prefix's rows of the
// accumulator.
template <typename T>
struct KeyGradients {
  T* dk;
  T* dv;
  int64_t stride;
};

template <typename T>
KeyGradients<T> GetKeyGradients(const Geometry& g, const CausalAttentionBackwardArgs& args,
                                int64_t pair, int64_t position) {
  const int64_t d = g.head_dim;
  if (position >= g.prefix_len) {
    T* row = args.dqkv.Data<T>() + (position - g.prefix_len) * g.qkv_stride + pair * 3 * d;
    return {row + d, row + 2 * d, g.qkv_stride};
  }
  T* row = args.dkv_accumulator.Data<T>() + position * g.dkv_stride + pair * 2 * d;
  return {row, row + d, g.dkv_stride};
}

// Zeroes dq, and starts dk and dv at what the later slices gave, or at zero where there were none.
template <typename T>
void StartGradients(const Geometry& g, const CausalAttentionBackwardArgs& args, int64_t pair) {
  const int64_t d = g.head_dim;
  const bool accumulate = args.write_mode == WriteMode::kAccumulate;
  for (int64_t i = 0; i < g.slice_len; ++i) {
    T* row = args.dqkv.Data<T>() + i * g.qkv_stride + pair * 3 * d;
    std::fill(row, row + 3 * d, T{0});
    if (!accumulate) continue;
    const T* later =
        args.dkv_accumulator.Data<T>() + (g.prefix_len + i) * g.dkv_stride + pair * 2 * d;
    std::copy(later, later + 2 * d, row + d);
  }
  for (int64_t i = 0; i < g.prefix_len && !accumulate; ++i) {
    T* row = args.dkv_accumulator.Data<T>() + i * g.dkv_stride + pair * 2 * d;
    std::fill(row, row + 2 * d, T{0});
  }
}

// s.probs = exp(scores - lse), zero where not visible; s.dprobs = probs * (dprobs - delta): the
// gradient of the scores.
template <typename T>
void BackwardSoftmax(const Geometry& g, const CausalAttentionBackwardArgs& args, int64_t pair,
                     const QueryBlock& block, int64_t key, int64_t num_keys,
                     const BackwardScratch<T>& s) {
  for (int64_t i = 0; i < block.count; ++i) {
    T* probs = s.probs + i * kKeyBlock;
    T* dprobs = s.dprobs + i * kKeyBlock;
    const int64_t num_visible = NumVisible(block.first_position + i, key, num_keys);
    ExpShiftedInPlace(probs, num_visible,
                      args.lse.Data<T>()[(block.begin + i) * g.lse_stride + pair]);
    std::fill(probs + num_visible, probs + num_keys, T{0});
    const T delta = s.delta[i];
#pragma omp simd
    for (int64_t j = 0; j < num_visible; ++j) dprobs[j] = probs[j] * (dprobs[j] - delta);
    std::fill(dprobs + num_visible, dprobs + num_keys, T{0});
  }
}

// One block of queries of one pair against the keys [key, key + num_keys), all before or all in the
// slice.
template <typename T>
void BackwardBlock(const Geometry& g, const CausalAttentionBackwardArgs& args, int64_t pair,
                   const QueryBlock& block, int64_t key, int64_t num_keys,
                   const BackwardScratch<T>& s) {
  const int64_t d = g.head_dim;
  const T scale = 1 / std::sqrt(static_cast<T>(d));
  const T* head = args.qkv.Data<T>() + pair * 3 * d;
  const Matrix<const T> q = {head + block.first_position * g.qkv_stride, g.qkv_stride};
  const Matrix<const T> k = {head + key * g.qkv_stride + d, g.qkv_stride};
  const Matrix<const T> dout = {args.dout.Data<T>() + block.begin * g.out_stride + pair * d,
                                g.out_stride};
  T* dq = args.dqkv.Data<T>() + block.begin * g.qkv_stride + pair * 3 * d;
  const KeyGradients<T> to = GetKeyGradients<T>(g, args, pair, key);
  const GemmSize scores_size = {block.count, num_keys, d};
  const GemmSize keys_size = {num_keys, d, block.count};

  Gemm<T>(scores_size, scale, q, {k.data, k.row_stride, Transpose::kYes}, WriteMode::kOverwrite,
          {s.probs, kKeyBlock}, s.gemm);
  Gemm<T>(scores_size, 1, dout, {k.data + d, k.row_stride, Transpose::kYes}, WriteMode::kOverwrite,
          {s.dprobs, kKeyBlock}, s.gemm);
  BackwardSoftmax(g, args, pair, block, key, num_keys, s);
  Gemm<T>(keys_size, 1, {s.probs, kKeyBlock, Transpose::kYes}, dout, WriteMode::kAccumulate,
          {to.dv, to.stride}, s.gemm);
  Gemm<T>(keys_size, scale, {s.dprobs, kKeyBlock, Transpose::kYes}, q, WriteMode::kAccumulate,
          {to.dk, to.stride}, s.gemm);
  Gemm<T>({block.count, d, num_keys}, scale, {s.dprobs, kKeyBlock}, k, WriteMode::kAccumulate,
          {dq, g.qkv_stride}, s.gemm);
}

template <typename T>
void BackwardPair(const Geometry& g, const CausalAttentionBackwardArgs& args, int64_t pair,
                  const BackwardScratch<T>& s) {
  StartGradients<T>(g, args, pair);
  for (int64_t index = 0; index < NumQueryBlocks(g); ++index) {
    const QueryBlock block(g, index);
    for (int64_t i = 0; i < block.count; ++i) {
      const int64_t offset = (block.begin + i) * g.out_stride + pair * g.head_dim;
      s.delta[i] = Dot(args.out.Data<T>() + offset, args.dout.Data<T>() + offset, g.head_dim);
    }
    for (int64_t key = 0; key < block.num_keys;) {
      const int64_t end = key < g.prefix_len ? g.prefix_len : block.num_keys;
      const int64_t num_keys = std::min(kKeyBlock, end - key);
      BackwardBlock(g, args, pair, block, key, num_keys, s);
      key += num_keys;
    }
  }
}

}  // namespace

template <typename T>
int64_t CausalAttentionScratchSize(int64_t head_dim) {
  const int64_t forward = kQueryBlock * (kKeyBlock + head_dim + 2);
  const int64_t backward = kQueryBlock * (2 * kKeyBlock + 1);
  // Whole lines, so that each thread's starts one.
  return RoundUp(GemmScratchSize<T>() + std::max(forward, backward), 16);
}

template <typename T>
void CausalAttentionForward(ThreadPool& pool, const CausalAttentionForwardArgs& args, T* scratch) {
  const Geometry g = GetGeometry(args.qkv, args.out, args.lse, args.prefix_len);
  const int64_t num_items = NumQueryBlocks(g) * g.num_pairs();
  std::atomic<int64_t> next_item{0};
  pool.Run([&](int worker) {
    const ForwardScratch<T> s(scratch + worker * CausalAttentionScratchSize<T>(g.head_dim),
                              g.head_dim);
    for (int64_t item = next_item++; item < num_items; item = next_item++) {
      // The last blocks have the most keys: they go first, so that the threads end together.
      const int64_t index = NumQueryBlocks(g) - 1 - item / g.num_pairs();
      ForwardBlock(g, args, item % g.num_pairs(), QueryBlock(g, index), s);
    }
  });
}

template <typename T>
void CausalAttentionBackward(ThreadPool& pool, const CausalAttentionBackwardArgs& args,
                             T* scratch) {
  const Geometry g = GetGeometry(args.qkv, args.out, args.lse, args.prefix_len);
  SLUICE_CHECK_EQ(args.dout.num_elements(), args.out.num_elements());
  SLUICE_CHECK_EQ(args.dqkv.num_elements(), g.slice_len * g.qkv_stride);
  if (args.dkv_accumulator.present()) {
    SLUICE_CHECK_GE(args.dkv_accumulator.num_rows(), g.prefix_len + g.slice_len);
    SLUICE_CHECK_EQ(args.dkv_accumulator.row_size(), g.dkv_stride);
  } else {
    SLUICE_CHECK(args.write_mode == WriteMode::kOverwrite && g.prefix_len == 0);
  }
  std::atomic<int64_t> next_pair{0};
  pool.Run([&](int worker) {
    const BackwardScratch<T> s(scratch + worker * CausalAttentionScratchSize<T>(g.head_dim));
    for (int64_t pair = next_pair++; pair < g.num_pairs(); pair = next_pair++) {
      BackwardPair(g, args, pair, s);
    }
  });
}

template int64_t CausalAttentionScratchSize<float>(int64_t);
template int64_t CausalAttentionScratchSize<double>(int64_t);
template void CausalAttentionForward<float>(ThreadPool&, const CausalAttentionForwardArgs&, float*);
template void CausalAttentionForward<double>(ThreadPool&, const CausalAttentionForwardArgs&,
                                             double*);
template void CausalAttentionBackward<float>(ThreadPool&, const CausalAttentionBackwardArgs&,
                                             float*);
template void CausalAttentionBackward<double>(ThreadPool&, const CausalAttentionBackwardArgs&,
                                              double*);

}  // namespace sluice::cpu
