// The kernels of fma_attention.h.
//
// Shapes: L queries of the slice, K = prefix_len + L keys, P pairs of a sequence and a head, D
// head_dim; qkv [K, P, 3, D], out and dout [L, P, D], lse [L, P].  Forward: a block of 128 threads
// processes tiles of 64 queries, each from a single pair.  Backward: a block of 256 threads owns 64
// keys of one pair, and blocks take turns to add their part to dq.

#include <algorithm>

#include "core/device/cuda/cuda_check.h"
#include "core/kernels/causal_attention/block_turns.cuh"
#include "core/kernels/causal_attention/fma/fma_attention.h"
#include "core/kernels/causal_attention/fma/fma_tiles.cuh"
#include "core/kernels/cuda/launch.h"

namespace sluice::cuda {
namespace {

constexpr int kForwardThreads = kFmaGroupThreads;
constexpr int kBackwardThreads = 2 * kFmaGroupThreads;

// Over the lanes that hold one row.
__device__ float RowMaximum(float x) {
#pragma unroll
  for (int mask = 2; mask <= 8; mask *= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, mask));
  return x;
}
__device__ float RowSum(float x) {
#pragma unroll
  for (int mask = 2; mask <= 8; mask *= 2) x += __shfl_xor_sync(0xffffffffu, x, mask);
  return x;
}

// Sets the scores of keys later than the query to `masked`.
__device__ void MaskLaterKeys(float (&scores)[kFmaRows][kFmaScoreColumns],
                              const AttentionShape& shape, int first_query, int first_key,
                              float masked) {
  // The last column that the tile's first row sees.
  const int visible = shape.prefix_len + first_query - first_key;
  if (visible >= kAttentionTile - 1) return;
#pragma unroll
  for (int i = 0; i < kFmaRows; ++i) {
#pragma unroll
    for (int j = 0; j < kFmaScoreColumns; ++j) {
      if (FmaScoreColumn(j) > visible + FmaRow(i)) scores[i][j] = masked;
    }
  }
}

// One step of the online softmax: turns raw scores (minus infinity where masked) into
// exp2(scale2 * (score - row maximum)), rescaling what came before.
template <int kColumns>
struct FmaSoftmax {
  float maximum[kFmaRows];
  float sum[kFmaRows];  // of this thread's columns

  __device__ void Reset() {
#pragma unroll
    for (int i = 0; i < kFmaRows; ++i) {
      maximum[i] = -kInfinity;
      sum[i] = 0;
    }
  }
  __device__ void Step(float (&scores)[kFmaRows][kFmaScoreColumns],
                       float (&output)[kFmaRows][kColumns], float scale2) {
#pragma unroll
    for (int i = 0; i < kFmaRows; ++i) {
      float row_maximum = maximum[i];
#pragma unroll
      for (int j = 0; j < kFmaScoreColumns; ++j) row_maximum = fmaxf(row_maximum, scores[i][j]);
      row_maximum = RowMaximum(row_maximum);
      // Key 0 is in the first tile and every query sees it: row_maximum is finite.
      const float base = row_maximum * scale2;
      const float rescale = Exp2(fmaf(maximum[i], scale2, -base));
      maximum[i] = row_maximum;
      sum[i] *= rescale;
#pragma unroll
      for (int j = 0; j < kFmaScoreColumns; ++j) {
        scores[i][j] = Exp2(fmaf(scores[i][j], scale2, -base));
        sum[i] += scores[i][j];
      }
#pragma unroll
      for (int j = 0; j < kColumns; ++j) output[i][j] *= rescale;
    }
  }
};

template <int D>
struct FmaForwardMemory {
  FmaTile<D> q;
  FmaTile<D> k;
  FmaTile<D> v;
  FmaScoreTile probabilities;
};

template <int D>
__device__ void StoreOutput(const AttentionForwardParams& params, const QueryTile& tile,
                            const FmaSoftmax<4 * kFmaVectors<D>>& softmax,
                            const float (&output)[kFmaRows][4 * kFmaVectors<D>], float scale) {
  const AttentionShape& shape = params.shape;
#pragma unroll
  for (int i = 0; i < kFmaRows; ++i) {
    const float sum = RowSum(softmax.sum[i]);
    const int query = tile.first_query + FmaRow(i);
    if (query >= shape.slice_len) continue;
    const int64_t row = int64_t{query} * shape.num_pairs + tile.pair;
    if (LaneColumn() == 0) params.lse[row] = softmax.maximum[i] * scale + logf(sum);
    float* out = static_cast<float*>(params.out) + row * shape.head_dim;
#pragma unroll
    for (int j = 0; j < kFmaVectors<D>; ++j) {
      const float* x = output[i] + 4 * j;
      if (FmaOutputColumn(j) < shape.head_dim) {
        *reinterpret_cast<float4*>(out + FmaOutputColumn(j)) =
            make_float4(x[0] / sum, x[1] / sum, x[2] / sum, x[3] / sum);
      }
    }
  }
}

template <int D>
__device__ void ForwardTile(FmaForwardMemory<D>& shared, const AttentionForwardParams& params,
                            const QueryTile& tile) {
  constexpr int kColumns = 4 * kFmaVectors<D>;
  const AttentionShape& shape = params.shape;
  const float scale = rsqrtf(static_cast<float>(shape.head_dim));
  // Loads nothing behind the last key.
  const auto load = [&](FmaTile<D>& to, Role role, int begin) {
    if (begin > tile.last_key) return CommitCopies();
    LoadTileAsync<D, kForwardThreads>(to,
                                      QkvRows<float>(shape, params.qkv, tile.pair, role, begin));
  };
  LoadTileAsync<D, kForwardThreads>(shared.q,
                                    QkvRows<float>(shape, params.qkv, tile.pair, Role::kQuery,
                                                   shape.prefix_len + tile.first_query));
  load(shared.k, Role::kKey, 0);
  load(shared.v, Role::kValue, 0);

  float output[kFmaRows][kColumns] = {};
  FmaSoftmax<kColumns> softmax;
  softmax.Reset();
  for (int first_key = 0; first_key <= tile.last_key; first_key += kAttentionTile) {
    WaitForTiles<1>();
    float scores[kFmaRows][kFmaScoreColumns];
    MultiplyNT<D>(scores, shared.q, shared.k);
    __syncthreads();
    load(shared.k, Role::kKey, first_key + kAttentionTile);
    MaskLaterKeys(scores, shape, tile.first_query, first_key, -kInfinity);
    softmax.Step(scores, output, scale * kLog2e);
    // Rows of probabilities are read by the warp that writes them.
    StoreScores(shared.probabilities, scores);
    WaitForTiles<1>();
    MultiplyNN<D, kFmaVectors<D>>(output, shared.probabilities, shared.v, 0);
    __syncthreads();
    load(shared.v, Role::kValue, first_key + kAttentionTile);
  }
  StoreOutput<D>(params, tile, softmax, output, scale);
}

// Blocks take tiles of queries in turn, longest first, every other round backwards, so that the
// sums of lengths are nearly equal.
template <int D>
__global__ void __launch_bounds__(kForwardThreads, 2)
    FmaForwardKernel(const AttentionForwardParams params) {
  extern __shared__ __align__(128) unsigned char memory[];
  auto& shared = *reinterpret_cast<FmaForwardMemory<D>*>(memory);
  const AttentionShape& shape = params.shape;
  const int num_query_tiles = (shape.slice_len + kAttentionTile - 1) / kAttentionTile;
  const int num_blocks = static_cast<int>(gridDim.x);
  const int block = static_cast<int>(blockIdx.x);
  for (int round = 0;; ++round) {
    const int index = round * num_blocks + (round % 2 == 0 ? block : num_blocks - 1 - block);
    if (index >= num_query_tiles * shape.num_pairs) return;
    const int first_query = (num_query_tiles - 1 - index / shape.num_pairs) * kAttentionTile;
    ForwardTile<D>(shared, params,
                   {index % shape.num_pairs, first_query,
                    shape.prefix_len + min(first_query + kAttentionTile, shape.slice_len) - 1});
  }
}

template <int D>
struct FmaBackwardMemory {
  FmaTile<D> q;
  FmaTile<D> dout;
  FmaTile<D> k;
  FmaTile<D> v;
  FmaScoreTile p;
  FmaScoreTile ds;
  unsigned ticket;
};

// Vectors of dq that a thread of either group computes.
template <int D>
inline constexpr int kQueryVectors = (kFmaVectors<D> + 1) / 2;

// A group's vectors of ds k.
template <int D>
__device__ void MultiplyQueryGradient(float (&dq)[kFmaRows][4 * kQueryVectors<D>],
                                      const FmaScoreTile& ds, const FmaTile<D>& k, int group) {
  constexpr int kRest = kFmaVectors<D> - kQueryVectors<D>;
  if constexpr (kRest == kQueryVectors<D>) {
    MultiplyNN<D, kRest>(dq, ds, k, group * kRest);
  } else if (group == 0) {
    MultiplyNN<D, kQueryVectors<D>>(dq, ds, k, 0);
  } else if constexpr (kRest > 0) {
    MultiplyNN<D, kRest>(dq, ds, k, kQueryVectors<D>);
  }
}

// Waits until what blocks with earlier keys contribute to dq of a tile of queries is there, adds
// this block's part, and lets the next block go on.
template <int D>
__device__ void AddQueryGradientInTurn(const AttentionBackwardParams& params, int pair,
                                       int query_tile, int key_tile, int first_vector,
                                       const float (&dq)[kFmaRows][4 * kQueryVectors<D>]) {
  const AttentionShape& shape = params.shape;
  const float scale = rsqrtf(static_cast<float>(shape.head_dim));
  unsigned* turn = TurnOf(params, pair, query_tile);
  if (threadIdx.x == 0) WaitForTurn(turn, static_cast<unsigned>(key_tile));
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kFmaRows; ++i) {
    const int query = query_tile * kAttentionTile + FmaRow(i);
    if (query >= shape.slice_len) continue;
    float* row = static_cast<float*>(params.dqkv) +
                 (int64_t{query} * shape.num_pairs + pair) * 3 * shape.head_dim;
#pragma unroll
    for (int j = 0; j < kQueryVectors<D>; ++j) {
      const int column = FmaOutputColumn(first_vector + j);
      if (column >= shape.head_dim) continue;
      const float* x = dq[i] + 4 * j;
      const float4 part = make_float4(x[0] * scale, x[1] * scale, x[2] * scale, x[3] * scale);
      StoreOrAdd(reinterpret_cast<float4*>(row + column), part, key_tile == 0);
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) EndTurn(turn, static_cast<unsigned>(key_tile));
}

// dk (which = 0) or dv (1) of the block's keys: into dqkv if the position is of this slice, with
// what later slices left in the accumulator, else into the accumulator.
template <int D>
__device__ void StoreKeyValueRows(const AttentionBackwardParams& params, int pair, int first_key,
                                  int which, const float (&x)[kFmaRows][4 * kFmaVectors<D>],
                                  float scale) {
  const AttentionShape& shape = params.shape;
#pragma unroll
  for (int i = 0; i < kFmaRows; ++i) {
    const int key = first_key + FmaTransposedRow(i);
    if (key >= shape.num_keys) continue;
    const int64_t position = int64_t{key} * shape.num_pairs + pair;
    const int64_t slice_position = int64_t{key - shape.prefix_len} * shape.num_pairs + pair;
    float* accumulator = params.dkv_accumulator + (position * 2 + which) * shape.head_dim;
    float* gradient =
        static_cast<float*>(params.dqkv) + (slice_position * 3 + 1 + which) * shape.head_dim;
#pragma unroll
    for (int j = 0; j < kFmaVectors<D>; ++j) {
      const int column = FmaOutputColumn(j);
      if (column >= shape.head_dim) continue;
      float4 sum = {};
      if (params.write_mode == WriteMode::kAccumulate) {
        sum = *reinterpret_cast<const float4*>(accumulator + column);
      }
      const float* y = x[i] + 4 * j;
      sum = make_float4(sum.x + y[0] * scale, sum.y + y[1] * scale, sum.z + y[2] * scale,
                        sum.w + y[3] * scale);
      float* to = key < shape.prefix_len ? accumulator : gradient;
      *reinterpret_cast<float4*>(to + column) = sum;
    }
  }
}

// Raw scores to p = exp2(score * scale2 - lse2), zero where masked.
__device__ void ScoresToProbabilities(float (&scores)[kFmaRows][kFmaScoreColumns],
                                      const float (&lse2)[kFmaRows], const AttentionShape& shape,
                                      int first_query, int first_key) {
  const float scale2 = rsqrtf(static_cast<float>(shape.head_dim)) * kLog2e;
#pragma unroll
  for (int i = 0; i < kFmaRows; ++i) {
#pragma unroll
    for (int j = 0; j < kFmaScoreColumns; ++j) {
      scores[i][j] = Exp2(fmaf(scores[i][j], scale2, -lse2[i]));
    }
  }
  MaskLaterKeys(scores, shape, first_query, first_key, 0);
}

// dp to ds = p (dp - delta).
__device__ void ScoreGradients(float (&dscores)[kFmaRows][kFmaScoreColumns],
                               const float (&delta)[kFmaRows], const FmaScoreTile& p) {
#pragma unroll
  for (int i = 0; i < kFmaRows; ++i) {
#pragma unroll
    for (int j = 0; j < kFmaScoreColumns; ++j) {
      dscores[i][j] = LoadScore(p, i, j) * (dscores[i][j] - delta[i]);
    }
  }
}

// A block owns a tile of keys and passes over the tiles of queries that see it, last first.  Two
// groups of 4 warps share the products:
//   group 0   s = q k^T,      p,   dv += p^T dout,  half the columns of dq part = ds k
//   group 1   dp = dout v^T,  ds,  dk += ds^T q,    the other half
template <int D>
__global__ void __launch_bounds__(kBackwardThreads, 1)
    FmaBackwardKernel(const AttentionBackwardParams params) {
  extern __shared__ __align__(128) unsigned char memory[];
  auto& shared = *reinterpret_cast<FmaBackwardMemory<D>*>(memory);
  const AttentionShape& shape = params.shape;
  // Blocks take their work in the order in which they start: a block waits for earlier ones only.
  if (threadIdx.x == 0) shared.ticket = TakeTicket(params);
  __syncthreads();
  const int key_tile = static_cast<int>(shared.ticket) / shape.num_pairs;
  const int pair = static_cast<int>(shared.ticket) % shape.num_pairs;
  const int first_key = key_tile * kAttentionTile;
  const int begin_tile = max(0, first_key - shape.prefix_len) / kAttentionTile;
  const int group = static_cast<int>(threadIdx.x) / kFmaGroupThreads;

  const auto load = [&](FmaTile<D>& to, const TileSource& source) {
    LoadTileAsync<D, kBackwardThreads>(to, source);
  };
  const auto load_queries = [&](int first_query) {
    load(shared.q,
         QkvRows<float>(shape, params.qkv, pair, Role::kQuery, shape.prefix_len + first_query));
    load(shared.dout, QueryRows<float>(shape, params.dout, pair, first_query));
  };
  load(shared.k, QkvRows<float>(shape, params.qkv, pair, Role::kKey, first_key));
  load(shared.v, QkvRows<float>(shape, params.qkv, pair, Role::kValue, first_key));
  int query_tile = (shape.slice_len + kAttentionTile - 1) / kAttentionTile - 1;
  load_queries(query_tile * kAttentionTile);

  float gradient[kFmaRows][4 * kFmaVectors<D>] = {};  // dv in group 0, dk in group 1
  for (; query_tile >= begin_tile; --query_tile) {
    const int first_query = query_tile * kAttentionTile;
    const float* per_query = (group == 0 ? params.lse2 : params.delta) +
                             int64_t{pair} * params.padded_slice_len + first_query;
    float statistics[kFmaRows];
#pragma unroll
    for (int i = 0; i < kFmaRows; ++i) statistics[i] = per_query[FmaRow(i)];
    WaitForTiles<0>();
    float scores[kFmaRows][kFmaScoreColumns];
    MultiplyNT<D>(scores, group == 0 ? shared.q : shared.dout, group == 0 ? shared.k : shared.v);
    if (group == 0) {
      ScoresToProbabilities(scores, statistics, shape, first_query, first_key);
      StoreScores(shared.p, scores);
    }
    __syncthreads();
    if (group == 1) {
      ScoreGradients(scores, statistics, shared.p);
      StoreScores(shared.ds, scores);
    }
    __syncthreads();
    MultiplyTN<D>(gradient, group == 0 ? shared.p : shared.ds, group == 0 ? shared.dout : shared.q);
    __syncthreads();
    if (query_tile > begin_tile) load_queries(first_query - kAttentionTile);
    float dq[kFmaRows][4 * kQueryVectors<D>] = {};
    const int first_vector = group * kQueryVectors<D>;
    MultiplyQueryGradient<D>(dq, shared.ds, shared.k, group);
    AddQueryGradientInTurn<D>(params, pair, query_tile, key_tile, first_vector, dq);
  }
  const float scale = group == 0 ? 1 : rsqrtf(static_cast<float>(shape.head_dim));
  StoreKeyValueRows<D>(params, pair, first_key, 1 - group, gradient, scale);
}

// Blocks of a kernel that the current device holds at once.
int NumResidentBlocks(const void* kernel, int num_threads, size_t shared_bytes) {
  int num_blocks = 0;
  SLUICE_CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&num_blocks, kernel, num_threads,
                                                                  shared_bytes));
  return NumMultiprocessors() * num_blocks;
}

}  // namespace

int FmaSharedBytes(int head_dim) {
  size_t num_bytes = 0;
  WithTileColumns(head_dim, [&](auto columns) {
    num_bytes = sizeof(FmaBackwardMemory<decltype(columns)::value>);
  });
  return static_cast<int>(num_bytes);
}

void LaunchFmaForward(const AttentionForwardParams& params, cudaStream_t stream) {
  WithTileColumns(params.shape.head_dim, [&](auto columns) {
    constexpr int D = decltype(columns)::value;
    constexpr int kSharedBytes = sizeof(FmaForwardMemory<D>);
    const auto kernel = &FmaForwardKernel<D>;
    AllowSharedBytes(kernel, kSharedBytes);
    const int num_tiles = NumTiles(params.shape.slice_len) * params.shape.num_pairs;
    const int num_resident =
        NumResidentBlocks(reinterpret_cast<const void*>(kernel), kForwardThreads, kSharedBytes);
    kernel<<<std::min(num_tiles, num_resident), kForwardThreads, kSharedBytes, stream>>>(params);
    SLUICE_CUDA_CHECK_LAUNCH("FmaAttentionForward");
  });
}

void LaunchFmaBackward(const AttentionBackwardParams& params, cudaStream_t stream) {
  WithTileColumns(params.shape.head_dim, [&](auto columns) {
    constexpr int D = decltype(columns)::value;
    constexpr int kSharedBytes = sizeof(FmaBackwardMemory<D>);
    const auto kernel = &FmaBackwardKernel<D>;
    AllowSharedBytes(kernel, kSharedBytes);
    const int num_tiles = NumTiles(params.shape.num_keys) * params.shape.num_pairs;
    kernel<<<num_tiles, kBackwardThreads, kSharedBytes, stream>>>(params);
    SLUICE_CUDA_CHECK_LAUNCH("FmaAttentionBackward");
  });
}

}  // namespace sluice::cuda
