// The kernels of tile_attention.h; included by one .cu file per element type.
//
// Shapes: L queries of the slice, K = prefix_len + L keys, P pairs of a sequence and a head, D
// head_dim, rounded up to what WithTileColumns compiles; qkv [K, P, 3, D], out and dout [L, P, D],
// lse [L, P].  A block owns a tile of 64 queries or 64 keys of one pair and passes over tiles of 64
// of the other kind.
#pragma once

#include <algorithm>

#include "core/device/cuda/cuda_check.h"
#include "core/kernels/causal_attention/tile/tile_attention.h"
#include "core/kernels/causal_attention/tile/tile_engine.cuh"
#include "core/kernels/causal_attention/tile_source.cuh"
#include "core/kernels/cuda/async_copy.cuh"
#include "core/kernels/cuda/device_math.cuh"
#include "core/kernels/cuda/launch.h"

namespace sluice::cuda {

// Starts the asynchronous copy of rows of `from` into a tile; what lies beyond the valid rows or
// columns is set to zero.
template <typename T, int D>
__device__ inline void LoadTileAsync(T* tile, const TileSource& source) {
  constexpr int kChunk = 16 / static_cast<int>(sizeof(T));
  const T* from = static_cast<const T*>(source.from);
  for (int i = static_cast<int>(threadIdx.x); i < kAttentionTile * (D / kChunk);
       i += TensorCoreEngine<T, D>::kThreads) {
    const int row = i / (D / kChunk);
    const int column = i % (D / kChunk) * kChunk;
    const bool valid = row < source.num_rows && column < source.num_columns;
    const T* chunk = valid ? from + row * source.row_stride + column : from;
    CopyAsync(SharedAddress(tile + row * kTileStride<T, D> + column), chunk, valid);
  }
  CommitCopies();
}

template <typename T, int D>
struct TileForwardMemory {
  alignas(16) T q[kAttentionTile * kTileStride<T, D>];
  T k[kAttentionTile * kTileStride<T, D>];
  T v[kAttentionTile * kTileStride<T, D>];
  T probabilities[kAttentionTile * kTileStride<T, kAttentionTile>];
};

template <typename T, int D>
__device__ inline void StoreScores(
    T* tile,
    const float (&x)[TensorCoreEngine<T, D>::kRows][TensorCoreEngine<T, D>::kScoreColumns]) {
  using E = TensorCoreEngine<T, D>;
#pragma unroll
  for (int i = 0; i < E::kRows; ++i) {
#pragma unroll
    for (int j = 0; j < E::kScoreColumns; ++j) {
      tile[E::Row(i) * kTileStride<T, kAttentionTile> + E::Column(j)] = FromFloat<T>(x[i][j]);
    }
  }
  __syncwarp();
}

// One step of the online softmax: turns raw scores (minus infinity where masked) into
// exp2(scale2 * (score - row maximum)), rescaling what came before.
template <typename E>
struct OnlineSoftmax {
  float maximum[E::kRows];
  float sum[E::kRows];

  __device__ void Reset() {
#pragma unroll
    for (int i = 0; i < E::kRows; ++i) {
      maximum[i] = -kInfinity;
      sum[i] = 0;
    }
  }
  __device__ void Step(float (&scores)[E::kRows][E::kScoreColumns],
                       float (&output)[E::kRows][E::kOutputColumns], float scale2) {
#pragma unroll
    for (int i = 0; i < E::kRows; ++i) {
      float row_maximum = maximum[i];
#pragma unroll
      for (int j = 0; j < E::kScoreColumns; ++j) row_maximum = fmaxf(row_maximum, scores[i][j]);
      row_maximum = GroupMax<E::kLanesPerRow>(row_maximum);
      // A row may be wholly masked so far.
      const float base = row_maximum == -kInfinity ? 0 : row_maximum * scale2;
      const float rescale = Exp2(fmaf(maximum[i], scale2, -base));
      maximum[i] = row_maximum;
      sum[i] *= rescale;
#pragma unroll
      for (int j = 0; j < E::kScoreColumns; ++j) {
        scores[i][j] = Exp2(fmaf(scores[i][j], scale2, -base));
        sum[i] += scores[i][j];
      }
#pragma unroll
      for (int j = 0; j < E::kOutputColumns; ++j) output[i][j] *= rescale;
    }
  }
};

template <typename T, int D>
__global__ void __launch_bounds__(TensorCoreEngine<T, D>::kThreads)
    TileForwardKernel(const AttentionForwardParams params) {
  using E = TensorCoreEngine<T, D>;
  extern __shared__ __align__(16) unsigned char memory[];
  auto& shared = *reinterpret_cast<TileForwardMemory<T, D>*>(memory);
  const AttentionShape& shape = params.shape;
  const auto [pair, first_query, last_key] = OwnQueryTile(shape);
  const float scale = rsqrtf(static_cast<float>(shape.head_dim));

  const auto load = [&](T* to, Role role, int begin) {
    LoadTileAsync<T, D>(to, QkvRows<T>(shape, params.qkv, pair, role, begin));
  };
  load(shared.q, Role::kQuery, shape.prefix_len + first_query);
  load(shared.k, Role::kKey, 0);
  load(shared.v, Role::kValue, 0);

  float output[E::kRows][E::kOutputColumns] = {};
  OnlineSoftmax<E> softmax;
  softmax.Reset();
  for (int first_key = 0; first_key <= last_key; first_key += kAttentionTile) {
    const int next_key = min(first_key + kAttentionTile, last_key);
    WaitForTiles<1>();
    float scores[E::kRows][E::kScoreColumns] = {};
    E::MultiplyNT(scores, shared.q, shared.k);
    __syncthreads();
    load(shared.k, Role::kKey, next_key);
#pragma unroll
    for (int i = 0; i < E::kRows; ++i) {
      const int visible = shape.prefix_len + first_query + E::Row(i) - first_key;
#pragma unroll
      for (int j = 0; j < E::kScoreColumns; ++j) {
        if (E::Column(j) > visible) scores[i][j] = -kInfinity;
      }
    }
    softmax.Step(scores, output, scale * kLog2e);
    StoreScores<T, D>(shared.probabilities, scores);
    WaitForTiles<1>();
    E::MultiplyNN(output, shared.probabilities, shared.v);
    __syncthreads();
    load(shared.v, Role::kValue, next_key);
  }
  WaitForCopies<0>();

  T* out = static_cast<T*>(params.out);
#pragma unroll
  for (int i = 0; i < E::kRows; ++i) {
    const float sum = GroupSum<E::kLanesPerRow>(softmax.sum[i]);
    const int query = first_query + E::Row(i);
    if (query >= shape.slice_len) continue;
    const int64_t row = int64_t{query} * shape.num_pairs + pair;
    if (E::Column(0) == 0) params.lse[row] = softmax.maximum[i] * scale + logf(sum);
#pragma unroll
    for (int j = 0; j < E::kOutputColumns; ++j) {
      const int column = E::OutputColumn(j);
      if (column < shape.head_dim) {
        out[row * shape.head_dim + column] = FromFloat<T>(output[i][j] / sum);
      }
    }
  }
}

template <typename T, int D>
struct TileBackwardMemory {
  alignas(16) T q[kAttentionTile * kTileStride<T, D>];
  T dout[kAttentionTile * kTileStride<T, D>];
  T k[kAttentionTile * kTileStride<T, D>];
  T v[kAttentionTile * kTileStride<T, D>];
  T scores[kAttentionTile * kTileStride<T, kAttentionTile>];
};

// dq of one tile of queries: for each tile of keys, ds = p * (dout v^T - delta), dq += ds k.
template <typename T, int D>
__global__ void __launch_bounds__(TensorCoreEngine<T, D>::kThreads)
    TileBackwardQueryKernel(const AttentionBackwardParams params) {
  using E = TensorCoreEngine<T, D>;
  extern __shared__ __align__(16) unsigned char memory[];
  auto& shared = *reinterpret_cast<TileBackwardMemory<T, D>*>(memory);
  const AttentionShape& shape = params.shape;
  const auto [pair, first_query, last_key] = OwnQueryTile(shape);
  const float scale = rsqrtf(static_cast<float>(shape.head_dim));

  const auto load = [&](T* to, Role role, int begin) {
    LoadTileAsync<T, D>(to, QkvRows<T>(shape, params.qkv, pair, role, begin));
  };
  load(shared.q, Role::kQuery, shape.prefix_len + first_query);
  LoadTileAsync<T, D>(shared.dout, QueryRows<T>(shape, params.dout, pair, first_query));
  load(shared.k, Role::kKey, 0);
  load(shared.v, Role::kValue, 0);

  float lse2[E::kRows];
  float delta[E::kRows];
#pragma unroll
  for (int i = 0; i < E::kRows; ++i) {
    const int64_t at = int64_t{pair} * params.padded_slice_len + first_query + E::Row(i);
    lse2[i] = params.lse2[at];
    delta[i] = params.delta[at];
  }
  float dq[E::kRows][E::kOutputColumns] = {};
  for (int first_key = 0; first_key <= last_key; first_key += kAttentionTile) {
    const int next_key = min(first_key + kAttentionTile, last_key);
    WaitForTiles<0>();
    float scores[E::kRows][E::kScoreColumns] = {};
    float dscores[E::kRows][E::kScoreColumns] = {};
    E::MultiplyNT(scores, shared.q, shared.k);
    E::MultiplyNT(dscores, shared.dout, shared.v);
    __syncthreads();
    load(shared.v, Role::kValue, next_key);
#pragma unroll
    for (int i = 0; i < E::kRows; ++i) {
      const int visible = shape.prefix_len + first_query + E::Row(i) - first_key;
#pragma unroll
      for (int j = 0; j < E::kScoreColumns; ++j) {
        const float p = Exp2(fmaf(scores[i][j], scale * kLog2e, -lse2[i]));
        dscores[i][j] = E::Column(j) > visible ? 0 : p * (dscores[i][j] - delta[i]);
      }
    }
    StoreScores<T, D>(shared.scores, dscores);
    E::MultiplyNN(dq, shared.scores, shared.k);
    __syncthreads();
    load(shared.k, Role::kKey, next_key);
  }
  WaitForCopies<0>();

  T* dqkv = static_cast<T*>(params.dqkv);
#pragma unroll
  for (int i = 0; i < E::kRows; ++i) {
    const int query = first_query + E::Row(i);
    if (query >= shape.slice_len) continue;
    T* row = dqkv + (int64_t{query} * shape.num_pairs + pair) * 3 * shape.head_dim;
#pragma unroll
    for (int j = 0; j < E::kOutputColumns; ++j) {
      const int column = E::OutputColumn(j);
      if (column < shape.head_dim) row[column] = FromFloat<T>(dq[i][j] * scale);
    }
  }
}

// Where the gradient of the key (which = 0) or value (1) at a position goes: into dqkv if the
// position is of this slice, with what later slices left in the accumulator, else into the
// accumulator.
template <typename T>
__device__ inline void StoreKeyValueGradient(const AttentionBackwardParams& params, int key,
                                             int pair, int which, int column, float x) {
  const AttentionShape& shape = params.shape;
  if (key >= shape.num_keys || column >= shape.head_dim) return;
  float* accumulator = params.dkv_accumulator +
                       ((int64_t{key} * shape.num_pairs + pair) * 2 + which) * shape.head_dim +
                       column;
  if (params.write_mode == WriteMode::kAccumulate) x += *accumulator;
  if (key < shape.prefix_len) {
    *accumulator = x;
    return;
  }
  const int64_t row = int64_t{key - shape.prefix_len} * shape.num_pairs + pair;
  static_cast<T*>(params.dqkv)[(row * 3 + 1 + which) * shape.head_dim + column] = FromFloat<T>(x);
}

// dk and dv of one tile of keys; scores are transposed, [keys, queries].  For each tile of queries
// that sees a key of the tile: dv += p^T dout, dk += ds^T q.
template <typename T, int D>
__global__ void __launch_bounds__(TensorCoreEngine<T, D>::kThreads)
    TileBackwardKeyValueKernel(const AttentionBackwardParams params) {
  using E = TensorCoreEngine<T, D>;
  extern __shared__ __align__(16) unsigned char memory[];
  auto& shared = *reinterpret_cast<TileBackwardMemory<T, D>*>(memory);
  const AttentionShape& shape = params.shape;
  const int first_key = static_cast<int>(blockIdx.x / shape.num_pairs) * kAttentionTile;
  const int pair = static_cast<int>(blockIdx.x % shape.num_pairs);
  const int begin_query = max(0, first_key - shape.prefix_len) / kAttentionTile * kAttentionTile;
  const float scale = rsqrtf(static_cast<float>(shape.head_dim));

  const auto load = [&](T* to, Role role, int begin) {
    LoadTileAsync<T, D>(to, QkvRows<T>(shape, params.qkv, pair, role, begin));
  };
  load(shared.k, Role::kKey, first_key);
  load(shared.v, Role::kValue, first_key);

  float dk[E::kRows][E::kOutputColumns] = {};
  float dv[E::kRows][E::kOutputColumns] = {};
  for (int first_query = begin_query; first_query < shape.slice_len;
       first_query += kAttentionTile) {
    __syncthreads();
    load(shared.q, Role::kQuery, shape.prefix_len + first_query);
    LoadTileAsync<T, D>(shared.dout, QueryRows<T>(shape, params.dout, pair, first_query));
    WaitForTiles<0>();
    float scores[E::kRows][E::kScoreColumns] = {};
    float dscores[E::kRows][E::kScoreColumns] = {};
    E::MultiplyNT(scores, shared.k, shared.q);
    E::MultiplyNT(dscores, shared.v, shared.dout);
    const int64_t statistics = int64_t{pair} * params.padded_slice_len + first_query;
#pragma unroll
    for (int j = 0; j < E::kScoreColumns; ++j) {
      const float lse2 = params.lse2[statistics + E::Column(j)];
      const float delta = params.delta[statistics + E::Column(j)];
      const int last_visible = shape.prefix_len + first_query + E::Column(j) - first_key;
#pragma unroll
      for (int i = 0; i < E::kRows; ++i) {
        const bool masked = E::Row(i) > last_visible;
        const float p = masked ? 0 : Exp2(fmaf(scores[i][j], scale * kLog2e, -lse2));
        scores[i][j] = p;
        dscores[i][j] = p * (dscores[i][j] - delta);
      }
    }
    StoreScores<T, D>(shared.scores, scores);
    E::MultiplyNN(dv, shared.scores, shared.dout);
    __syncwarp();
    StoreScores<T, D>(shared.scores, dscores);
    E::MultiplyNN(dk, shared.scores, shared.q);
  }
#pragma unroll
  for (int i = 0; i < E::kRows; ++i) {
    const int key = first_key + E::Row(i);
#pragma unroll
    for (int j = 0; j < E::kOutputColumns; ++j) {
      const int column = E::OutputColumn(j);
      StoreKeyValueGradient<T>(params, key, pair, 0, column, dk[i][j] * scale);
      StoreKeyValueGradient<T>(params, key, pair, 1, column, dv[i][j]);
    }
  }
}

// A block for each tile of `length` positions and each pair.
template <typename Engine, typename Memory, typename Params>
void LaunchTileKernel(void (*kernel)(Params), const Params& params, int length,
                      cudaStream_t stream) {
  AllowSharedBytes(kernel, sizeof(Memory));
  const int num_blocks = NumTiles(length) * params.shape.num_pairs;
  kernel<<<num_blocks, Engine::kThreads, sizeof(Memory), stream>>>(params);
  SLUICE_CUDA_CHECK_LAUNCH("TileAttention");
}

template <typename T>
int TileSharedBytes(int head_dim) {
  size_t num_bytes = 0;
  WithTileColumns(head_dim, [&](auto columns) {
    num_bytes = sizeof(TileBackwardMemory<T, decltype(columns)::value>);
  });
  return static_cast<int>(num_bytes);
}

template <typename T>
void LaunchTileForward(const AttentionForwardParams& params, cudaStream_t stream) {
  WithTileColumns(params.shape.head_dim, [&](auto columns) {
    constexpr int D = decltype(columns)::value;
    LaunchTileKernel<TensorCoreEngine<T, D>, TileForwardMemory<T, D>>(
        &TileForwardKernel<T, D>, params, params.shape.slice_len, stream);
  });
}

template <typename T>
void LaunchTileBackward(const AttentionBackwardParams& params, cudaStream_t stream) {
  WithTileColumns(params.shape.head_dim, [&](auto columns) {
    constexpr int D = decltype(columns)::value;
    using Engine = TensorCoreEngine<T, D>;
    using Memory = TileBackwardMemory<T, D>;
    LaunchTileKernel<Engine, Memory>(&TileBackwardQueryKernel<T, D>, params, params.shape.slice_len,
                                     stream);
    LaunchTileKernel<Engine, Memory>(&TileBackwardKeyValueKernel<T, D>, params,
                                     params.shape.num_keys, stream);
  });
}

}  // namespace sluice::cuda
