// The backward of hopper_attention.h; included by one .cu file per element type.
//
// Shapes: L queries of the slice, K = prefix_len + L keys, P pairs of a sequence and a head, D
// head_dim; qkv [K, P, 3, D], dout [L, P, D], lse2 and delta [P, padded L], dqkv [L, P, 3, D],
// dkv_accumulator [K, P, 2, D].
//
// One launch of two kinds of block, each with one producer warp and two consumer warpgroups of 64
// rows, or one if there are few blocks, so that the longest determine the time:
//
//   dq      a block owns 128 or 64 queries and passes over tiles of 128 keys:
//             s = q k^T, dp = dout v^T, ds = p (dp - delta), dq += ds k
//   dk, dv  a block owns 128 or 64 keys and passes over tiles of 64 queries, all transposed:
//             s = k q^T, dp = v dout^T, dv += p dout, dk += ds q
//
// p and ds go from accumulators to register operands, so only the copy engine writes to shared
// memory.  Within a warpgroup p is computed while dp is multiplied, and ds while dv is; the two
// warpgroups of a multiprocessor fill each other's gaps.
#pragma once

#include "core/device/cuda/cuda_check.h"
#include "core/kernels/causal_attention/hopper/hopper_attention.h"
#include "core/kernels/causal_attention/hopper/hopper_head_dims.h"
#include "core/kernels/causal_attention/hopper/hopper_tensor_map.h"
#include "core/kernels/causal_attention/hopper/hopper_tiles.cuh"
#include "core/kernels/cuda/dependent_launch.cuh"
#include "core/kernels/cuda/element_types.h"
#include "core/kernels/cuda/launch.h"

namespace sluice::cuda {

template <int kNumConsumers>
struct HopperBackwardConfig {
  static constexpr int kConsumers = kNumConsumers;
  // At most; what shared memory and registers allow.
  static constexpr int kBlocksPerMultiprocessor = kConsumers == 1 ? 2 : 1;
  static constexpr int kConsumerRegisters = kConsumers == 1 ? 224 : 240;
  static constexpr int kProducerRegisters = 24;
  static constexpr int kThreads = (kConsumers + 1) * kWarpgroupThreads;
  static constexpr int kOwnedRows = kConsumers * 64;
  static constexpr int kStages = 2;
  // Arrivals that free a stage: one of each consumer warp.
  static constexpr int kReleases = kConsumers * 4;
  // Named barrier kOwn + c is consumer c's own.
  static constexpr int kOwn = 1;
};

template <typename Config>
__host__ __device__ inline int NumOwnedTiles(int num_rows) {
  return (num_rows + Config::kOwnedRows - 1) / Config::kOwnedRows;
}

struct HopperBackwardMaps {
  CUtensorMap qkv;
  CUtensorMap dout;
};

template <int D, int kConsumers>
struct HopperBackwardQueryMemory {
  using Config = HopperBackwardConfig<kConsumers>;
  static constexpr int kKeyTile = 128;
  alignas(1024) unsigned char q[Config::kConsumers][kTileBytes<D, 64>];
  alignas(1024) unsigned char dout[Config::kConsumers][kTileBytes<D, 64>];
  alignas(1024) unsigned char k[Config::kStages][kTileBytes<D, kKeyTile>];
  alignas(1024) unsigned char v[Config::kStages][kTileBytes<D, kKeyTile>];
  uint64_t owned_full;
  uint64_t k_full[Config::kStages];
  uint64_t v_full[Config::kStages];
  uint64_t k_empty[Config::kStages];
  uint64_t v_empty[Config::kStages];
};

struct BackwardQueryTile {
  int first_query;
  int pair;
  int num_key_tiles;
};

template <int D, int kConsumers>
__device__ __forceinline__ void BackwardQueryProducer(
    HopperBackwardQueryMemory<D, kConsumers>& shared, const HopperBackwardMaps& maps,
    const AttentionShape& shape, const BackwardQueryTile& tile) {
  using Memory = HopperBackwardQueryMemory<D, kConsumers>;
  using Config = HopperBackwardConfig<kConsumers>;
  ArriveAndExpectBytes(&shared.owned_full, 2 * Config::kConsumers * kTileBytes<D, 64>);
  for (int consumer = 0; consumer < Config::kConsumers; ++consumer) {
    const int query = tile.first_query + 64 * consumer;
    CopyTileAsync<D, 64>(shared.q[consumer], maps.qkv, {0, 0, tile.pair, shape.prefix_len + query},
                         &shared.owned_full);
    CopyTileAsync<D, 64>(shared.dout[consumer], maps.dout, {0, 0, tile.pair, query},
                         &shared.owned_full);
  }
  RingPosition<Config::kStages> at;
  const auto copy = [&](unsigned char* to, uint64_t* full, uint64_t* empty, int role, int key) {
    Wait(empty, at.parity ^ 1);
    ArriveAndExpectBytes(full, kTileBytes<D, Memory::kKeyTile>);
    CopyTileAsync<D, Memory::kKeyTile>(to, maps.qkv, {0, role, tile.pair, key}, full);
  };
  for (int key_tile = tile.num_key_tiles - 1; key_tile >= 0; --key_tile) {
    const int s = at.stage;
    const int first_key = key_tile * Memory::kKeyTile;
    copy(shared.k[s], &shared.k_full[s], &shared.k_empty[s], 1, first_key);
    copy(shared.v[s], &shared.v_full[s], &shared.v_empty[s], 2, first_key);
    at.Advance();
  }
}

template <typename T, int D, int kConsumers>
__device__ __forceinline__ void BackwardQueryConsumer(
    HopperBackwardQueryMemory<D, kConsumers>& shared, const AttentionBackwardParams& params,
    const BackwardQueryTile& tile, int consumer) {
  using Memory = HopperBackwardQueryMemory<D, kConsumers>;
  using Config = HopperBackwardConfig<kConsumers>;
  constexpr int kKeyTile = Memory::kKeyTile;
  constexpr int kKeyBlockBytes = kKeyTile * kBlockRowBytes;
  constexpr int kOwnedBlockBytes = 64 * kBlockRowBytes;
  const AttentionShape& shape = params.shape;
  const float scale = rsqrtf(static_cast<float>(D));
  const float scale2 = scale * kLog2e;
  const bool is_first_lane = threadIdx.x % 32 == 0;
  const int first_query = tile.first_query + 64 * consumer;
  const uint64_t q = DescribeTile(shared.q[consumer], 0);
  const uint64_t dout = DescribeTile(shared.dout[consumer], 0);

  const int64_t at_row =
      int64_t{tile.pair} * params.padded_slice_len + first_query + AccumulatorRow();
  const float lse2[2] = {params.lse2[at_row], params.lse2[at_row + 8]};
  const float delta[2] = {params.delta[at_row], params.delta[at_row + 8]};
  float dq[D / 2] = {};
  RingPosition<Config::kStages> at;
  Wait(&shared.owned_full, 0);
  for (int key_tile = tile.num_key_tiles - 1; key_tile >= 0; --key_tile) {
    const int s = at.stage;
    Wait(&shared.k_full[s], at.parity);
    Wait(&shared.v_full[s], at.parity);
    float scores[kKeyTile / 2];
    float dscores[kKeyTile / 2];
    BeginProducts();
    MultiplyNT<T, D, kKeyTile>(scores, q, kOwnedBlockBytes, DescribeTile(shared.k[s], 0),
                               kKeyBlockBytes);
    CommitProducts();
    MultiplyNT<T, D, kKeyTile>(dscores, dout, kOwnedBlockBytes, DescribeTile(shared.v[s], 0),
                               kKeyBlockBytes);
    CommitProducts();
    WaitForProducts<1>();
    PinRegisters(scores);
    const int first_key = key_tile * kKeyTile;
    if (shape.prefix_len + first_query < first_key + kKeyTile - 1) {
      MaskLaterKeys(scores, shape.prefix_len + first_query + AccumulatorRow() - first_key);
    }
#pragma unroll
    for (int i = 0; i < kKeyTile / 2; ++i) {
      scores[i] = Exp2(fmaf(scores[i], scale2, -lse2[i % 4 / 2]));
    }
    WaitForProducts<0>();
    PinRegisters(dscores);
    if (is_first_lane) Arrive(&shared.v_empty[s]);
#pragma unroll
    for (int i = 0; i < kKeyTile / 2; ++i) scores[i] *= dscores[i] - delta[i % 4 / 2];
    uint32_t packed[kKeyTile / 4];
    PackScores<T>(packed, scores);
    BeginProducts();
    MultiplyNN<T, D, kKeyTile>(dq, packed, DescribeTile(shared.k[s], kKeyBlockBytes));
    CommitProducts();
    WaitForProducts<0>();
    if (is_first_lane) Arrive(&shared.k_empty[s]);
    at.Advance();
  }
  PinRegisters(dq);
  WaitAtNamedBarrier(Config::kOwn + consumer, kWarpgroupThreads);
  const int64_t row_stride = int64_t{3} * shape.num_pairs * D;
  const float row_scale[2] = {scale, scale};
  StoreRows<T, D>(dq, row_scale, shared.q[consumer],
                  {static_cast<T*>(params.dqkv) + first_query * row_stride + 3 * tile.pair * D,
                   row_stride, shape.slice_len - first_query});
}

// `rank` counts the tiles of queries from the last, which has the most keys.
template <typename T, int D, int kConsumers>
__device__ __forceinline__ void RunBackwardQueryBlock(
    HopperBackwardQueryMemory<D, kConsumers>& shared, const HopperBackwardMaps& maps,
    const AttentionBackwardParams& params, int rank, int pair) {
  using Memory = HopperBackwardQueryMemory<D, kConsumers>;
  using Config = HopperBackwardConfig<kConsumers>;
  const AttentionShape& shape = params.shape;
  const int first_query = (NumOwnedTiles<Config>(shape.slice_len) - 1 - rank) * Config::kOwnedRows;
  const int last_key =
      shape.prefix_len + min(first_query + Config::kOwnedRows, shape.slice_len) - 1;
  const BackwardQueryTile tile = {first_query, pair, last_key / Memory::kKeyTile + 1};
  const int warpgroup = static_cast<int>(threadIdx.x) / kWarpgroupThreads;
  if (threadIdx.x == 0) {
    InitBarrier(&shared.owned_full, 1);
    for (int stage = 0; stage < Config::kStages; ++stage) {
      InitBarrier(&shared.k_full[stage], 1);
      InitBarrier(&shared.v_full[stage], 1);
      InitBarrier(&shared.k_empty[stage], Config::kReleases);
      InitBarrier(&shared.v_empty[stage], Config::kReleases);
    }
    FenceBarrierInit();
  }
  __syncthreads();
  WaitForPreviousKernels();
  if (warpgroup == 0) {
    DecreaseRegisters<Config::kProducerRegisters>();
    if (threadIdx.x == 0) BackwardQueryProducer<D, kConsumers>(shared, maps, shape, tile);
  } else {
    IncreaseRegisters<Config::kConsumerRegisters>();
    BackwardQueryConsumer<T, D, kConsumers>(shared, params, tile, warpgroup - 1);
  }
}

template <int D, int kConsumers>
struct HopperBackwardKeyValueMemory {
  using Config = HopperBackwardConfig<kConsumers>;
  static constexpr int kQueryTile = 64;
  static constexpr int kStages = 3;
  alignas(1024) unsigned char k[Config::kConsumers][kTileBytes<D, 64>];
  alignas(1024) unsigned char v[Config::kConsumers][kTileBytes<D, 64>];
  alignas(1024) unsigned char q[kStages][kTileBytes<D, kQueryTile>];
  alignas(1024) unsigned char dout[kStages][kTileBytes<D, kQueryTile>];
  alignas(16) float lse2[kStages][kQueryTile];
  alignas(16) float delta[kStages][kQueryTile];
  uint64_t owned_full;
  uint64_t full[kStages];
  uint64_t empty[kStages];
};

struct BackwardKeyValueTile {
  int first_key;
  int pair;
  int begin_query;
};

template <int D, int kConsumers>
__device__ __forceinline__ void BackwardKeyValueProducer(
    HopperBackwardKeyValueMemory<D, kConsumers>& shared, const HopperBackwardMaps& maps,
    const AttentionBackwardParams& params, const BackwardKeyValueTile& tile) {
  using Memory = HopperBackwardKeyValueMemory<D, kConsumers>;
  using Config = HopperBackwardConfig<kConsumers>;
  constexpr int kStatisticsBytes = Memory::kQueryTile * static_cast<int>(sizeof(float));
  const AttentionShape& shape = params.shape;
  ArriveAndExpectBytes(&shared.owned_full, 2 * Config::kConsumers * kTileBytes<D, 64>);
  for (int consumer = 0; consumer < Config::kConsumers; ++consumer) {
    const int key = tile.first_key + 64 * consumer;
    CopyTileAsync<D, 64>(shared.k[consumer], maps.qkv, {0, 1, tile.pair, key}, &shared.owned_full);
    CopyTileAsync<D, 64>(shared.v[consumer], maps.qkv, {0, 2, tile.pair, key}, &shared.owned_full);
  }
  RingPosition<Memory::kStages> at;
  for (int query = tile.begin_query; query < shape.slice_len; query += Memory::kQueryTile) {
    const int s = at.stage;
    Wait(&shared.empty[s], at.parity ^ 1);
    uint64_t* full = &shared.full[s];
    ArriveAndExpectBytes(full, 2 * (kTileBytes<D, Memory::kQueryTile> + kStatisticsBytes));
    CopyTileAsync<D, Memory::kQueryTile>(shared.q[s], maps.qkv,
                                         {0, 0, tile.pair, shape.prefix_len + query}, full);
    CopyTileAsync<D, Memory::kQueryTile>(shared.dout[s], maps.dout, {0, 0, tile.pair, query}, full);
    const int64_t statistics = int64_t{tile.pair} * params.padded_slice_len + query;
    CopyBytesAsync(shared.lse2[s], params.lse2 + statistics, kStatisticsBytes, full);
    CopyBytesAsync(shared.delta[s], params.delta + statistics, kStatisticsBytes, full);
    at.Advance();
  }
}

// Two neighbouring elements of the gradient of a key (which = 0) or value (1): into dqkv if the
// position is of this slice, with what later slices left in the accumulator, else into the
// accumulator.
template <typename T, int D>
__device__ __forceinline__ void StoreKeyValuePair(const AttentionBackwardParams& params, int key,
                                                  int pair, int which, int column, float2 x) {
  const AttentionShape& shape = params.shape;
  auto* accumulator = reinterpret_cast<float2*>(
      params.dkv_accumulator + ((int64_t{key} * shape.num_pairs + pair) * 2 + which) * D + column);
  if (params.write_mode == WriteMode::kAccumulate) {
    const float2 old = *accumulator;
    x.x += old.x;
    x.y += old.y;
  }
  if (key < shape.prefix_len) {
    *accumulator = x;
    return;
  }
  const int64_t row = int64_t{key - shape.prefix_len} * shape.num_pairs + pair;
  *reinterpret_cast<uint32_t*>(static_cast<T*>(params.dqkv) + (row * 3 + 1 + which) * D + column) =
      Pack<T>(x.x, x.y);
}

// Calls change(element, x of its query) for the accumulators of [keys, queries]; per_query is in
// shared memory.
template <int kCount, typename Change>
__device__ __forceinline__ void ForEachWithQuery(float (&scores)[kCount], const float* per_query,
                                                 Change change) {
  const int column = static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int j = 0; j < kCount / 4; ++j) {
    const float2 x = *reinterpret_cast<const float2*>(per_query + 8 * j + column);
#pragma unroll
    for (int i = 0; i < 4; ++i) change(4 * j + i, i % 2 == 0 ? x.x : x.y);
  }
}

template <typename T, int D>
__device__ __forceinline__ void StoreKeyValueRows(const AttentionBackwardParams& params,
                                                  const float (&dk)[D / 2],
                                                  const float (&dv)[D / 2], int first_key,
                                                  int pair) {
  const float scale = rsqrtf(static_cast<float>(D));
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int key = first_key + AccumulatorRow() + 8 * h;
    if (key >= params.shape.num_keys) continue;
#pragma unroll
    for (int j = 0; j < D / 8; ++j) {
      const int column = 8 * j + static_cast<int>(threadIdx.x) % 4 * 2;
      const int i = 4 * j + 2 * h;
      StoreKeyValuePair<T, D>(params, key, pair, 0, column, {dk[i] * scale, dk[i + 1] * scale});
      StoreKeyValuePair<T, D>(params, key, pair, 1, column, {dv[i], dv[i + 1]});
    }
  }
}

template <typename T, int D, int kConsumers>
__device__ __forceinline__ void BackwardKeyValueConsumer(
    HopperBackwardKeyValueMemory<D, kConsumers>& shared, const AttentionBackwardParams& params,
    const BackwardKeyValueTile& tile, int consumer) {
  using Memory = HopperBackwardKeyValueMemory<D, kConsumers>;
  constexpr int kQueryTile = Memory::kQueryTile;
  constexpr int kBlockBytes = 64 * kBlockRowBytes;
  static_assert(kQueryTile == 64);
  const AttentionShape& shape = params.shape;
  const float scale2 = rsqrtf(static_cast<float>(D)) * kLog2e;
  const int first_key = tile.first_key + 64 * consumer;
  const uint64_t k = DescribeTile(shared.k[consumer], 0);
  const uint64_t v = DescribeTile(shared.v[consumer], 0);

  float dk[D / 2] = {};
  float dv[D / 2] = {};
  RingPosition<Memory::kStages> at;
  Wait(&shared.owned_full, 0);
  for (int query = tile.begin_query; query < shape.slice_len; query += kQueryTile) {
    const int s = at.stage;
    Wait(&shared.full[s], at.parity);
    float scores[kQueryTile / 2];
    float dscores[kQueryTile / 2];
    BeginProducts();
    MultiplyNT<T, D, kQueryTile>(scores, k, kBlockBytes, DescribeTile(shared.q[s], 0), kBlockBytes);
    CommitProducts();
    MultiplyNT<T, D, kQueryTile>(dscores, v, kBlockBytes, DescribeTile(shared.dout[s], 0),
                                 kBlockBytes);
    CommitProducts();
    WaitForProducts<1>();
    PinRegisters(scores);
    const int visible = first_key - shape.prefix_len - query;
    if (visible + 63 > 0) MaskEarlierQueries(scores, visible + AccumulatorRow());
    ForEachWithQuery(scores, shared.lse2[s],
                     [&](int i, float lse2) { scores[i] = Exp2(fmaf(scores[i], scale2, -lse2)); });
    uint32_t packed_p[kQueryTile / 4];
    PackScores<T>(packed_p, scores);
    BeginProducts();
    MultiplyNN<T, D, kQueryTile>(dv, packed_p, DescribeTile(shared.dout[s], kBlockBytes));
    CommitProducts();
    WaitForProducts<1>();
    PinRegisters(dscores);
    ForEachWithQuery(dscores, shared.delta[s],
                     [&](int i, float delta) { dscores[i] = scores[i] * (dscores[i] - delta); });
    uint32_t packed_ds[kQueryTile / 4];
    PackScores<T>(packed_ds, dscores);
    BeginProducts();
    MultiplyNN<T, D, kQueryTile>(dk, packed_ds, DescribeTile(shared.q[s], kBlockBytes));
    CommitProducts();
    WaitForProducts<0>();
    __syncwarp();  // all lanes have read lse2 and delta
    if (threadIdx.x % 32 == 0) Arrive(&shared.empty[s]);
    at.Advance();
  }
  PinRegisters(dk);
  PinRegisters(dv);
  StoreKeyValueRows<T, D>(params, dk, dv, first_key, tile.pair);
}

template <typename T, int D, int kConsumers>
__device__ __forceinline__ void RunBackwardKeyValueBlock(
    HopperBackwardKeyValueMemory<D, kConsumers>& shared, const HopperBackwardMaps& maps,
    const AttentionBackwardParams& params, int key_tile, int pair) {
  using Memory = HopperBackwardKeyValueMemory<D, kConsumers>;
  using Config = HopperBackwardConfig<kConsumers>;
  const int first_key = key_tile * Config::kOwnedRows;
  const BackwardKeyValueTile tile = {
      first_key, pair,
      max(0, first_key - params.shape.prefix_len) / Memory::kQueryTile * Memory::kQueryTile};
  const int warpgroup = static_cast<int>(threadIdx.x) / kWarpgroupThreads;
  if (threadIdx.x == 0) {
    InitBarrier(&shared.owned_full, 1);
    for (int stage = 0; stage < Memory::kStages; ++stage) {
      InitBarrier(&shared.full[stage], 1);
      InitBarrier(&shared.empty[stage], Config::kReleases);
    }
    FenceBarrierInit();
  }
  __syncthreads();
  WaitForPreviousKernels();
  if (warpgroup == 0) {
    DecreaseRegisters<Config::kProducerRegisters>();
    if (threadIdx.x == 0) BackwardKeyValueProducer<D, kConsumers>(shared, maps, params, tile);
  } else {
    IncreaseRegisters<Config::kConsumerRegisters>();
    BackwardKeyValueConsumer<T, D, kConsumers>(shared, params, tile, warpgroup - 1);
  }
}

template <int D, int kConsumers>
union HopperBackwardMemory {
  HopperBackwardQueryMemory<D, kConsumers> query;
  HopperBackwardKeyValueMemory<D, kConsumers> key_value;
};

// All blocks of one kind, then those of the other, which fill in as the first end.  Without a
// prefix dk and dv first: with 4 products a step where dq has 3, their longest are the longest.
// Behind one dq first: its blocks all pass over the prefix, and short ones should end the launch.
// Of each kind the longest first: the first keys are seen by the most queries, the last queries see
// the most keys.  So blocks of one pair that run at the same time are of one kind and pass over the
// same tiles within few steps of each other, which so come from the L2 cache.  The two kinds by
// turns took 6.6 ms where one after the other takes 5.7 (H100, 16 heads of 128, 16384 tokens).
template <typename T, int D, int kConsumers>
__global__ void __launch_bounds__(HopperBackwardConfig<kConsumers>::kThreads,
                                  HopperBackwardConfig<kConsumers>::kBlocksPerMultiprocessor)
    HopperBackwardKernel(const __grid_constant__ HopperBackwardMaps maps,
                         const AttentionBackwardParams params) {
  using Config = HopperBackwardConfig<kConsumers>;
  AllowNextKernel();
  extern __shared__ __align__(1024) unsigned char memory[];
  auto& shared = *reinterpret_cast<HopperBackwardMemory<D, kConsumers>*>(memory);
  const AttentionShape& shape = params.shape;
  const int position = static_cast<int>(blockIdx.x) / shape.num_pairs;
  const int pair = static_cast<int>(blockIdx.x) % shape.num_pairs;
  const bool keys_first = shape.prefix_len == 0;
  const int num_first = NumOwnedTiles<Config>(keys_first ? shape.num_keys : shape.slice_len);
  const bool is_first = position < num_first;
  const int rank = is_first ? position : position - num_first;
  if (is_first == keys_first) {
    RunBackwardKeyValueBlock<T, D, kConsumers>(shared.key_value, maps, params, rank, pair);
  } else {
    RunBackwardQueryBlock<T, D, kConsumers>(shared.query, maps, params, rank, pair);
  }
}

template <typename Config>
int NumBackwardBlocks(const AttentionShape& shape) {
  return (NumOwnedTiles<Config>(shape.slice_len) + NumOwnedTiles<Config>(shape.num_keys)) *
         shape.num_pairs;
}

template <typename T, int D, int kConsumers>
void LaunchHopperBackwardKernel(const AttentionBackwardParams& params, cudaStream_t stream) {
  using Config = HopperBackwardConfig<kConsumers>;
  const AttentionShape& shape = params.shape;
  const HopperBackwardMaps maps = {
      MakeTensorMap({params.qkv, DTypeOf<T>::value, shape.num_keys, shape.num_pairs, 3, D}),
      MakeTensorMap({params.dout, DTypeOf<T>::value, shape.slice_len, shape.num_pairs, 1, D})};
  const auto kernel = &HopperBackwardKernel<T, D, kConsumers>;
  constexpr int kSharedBytes = sizeof(HopperBackwardMemory<D, kConsumers>);
  AllowSharedBytes(kernel, kSharedBytes);
  LaunchOverlapped(kernel,
                   {.grid = static_cast<unsigned>(NumBackwardBlocks<Config>(shape)),
                    .block = Config::kThreads,
                    .shared_bytes = kSharedBytes},
                   stream, maps, params);
  SLUICE_CUDA_CHECK_LAUNCH("HopperAttentionBackward");
}

// Whether blocks of two consumers would not even take two turns at the multiprocessors: 12 heads of
// 64, 1024 tokens take 24.3 us with one consumer and 25.7 with two (H100).
inline bool BackwardBlocksAreFew(const AttentionShape& shape) {
  return NumBackwardBlocks<HopperBackwardConfig<2>>(shape) <= 2 * NumMultiprocessors();
}

template <typename T>
void LaunchHopperBackward(const AttentionBackwardParams& params, cudaStream_t stream) {
  WithHopperHeadDim(params.shape.head_dim, [&](auto head_dim) {
    constexpr int D = decltype(head_dim)::value;
    // Two blocks of larger heads do not fit into one multiprocessor.
    if constexpr (D == 64) {
      if (BackwardBlocksAreFew(params.shape)) {
        return LaunchHopperBackwardKernel<T, D, 1>(params, stream);
      }
    }
    LaunchHopperBackwardKernel<T, D, 2>(params, stream);
  });
}

}  // namespace sluice::cuda
