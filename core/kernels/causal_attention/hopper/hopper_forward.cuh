// The forward of hopper_attention.h; included by one .cu file per element type.
//
// Shapes: L queries of the slice, K = prefix_len + L keys, P pairs of a sequence and a head, D
// head_dim; qkv [K, P, 3, D], out [L, P, D], lse [L, P].  Tiles: q and out [64, D] for each
// consumer, k and v [128, D].
//
// A block works through tiles of queries, longest first.  Its producer warp loads the tile's q
// and, from the diagonal down to position 0, tiles of 128 keys and values; each consumer
// warpgroup owns 64 queries.  In a consumer the product with the values of one key tile runs while
// the softmax of the next is computed.  Consumers take turns on the tensor cores by named barriers,
// so that one computes its softmax while another multiplies.
//
// Two or three consumers use a multiprocessor best, if there are many tiles.  If there are few, the
// longest tile determines the time, and smaller tiles, of one consumer, are faster.
#pragma once

#include <algorithm>

#include "core/device/cuda/cuda_check.h"
#include "core/kernels/causal_attention/hopper/hopper_attention.h"
#include "core/kernels/causal_attention/hopper/hopper_head_dims.h"
#include "core/kernels/causal_attention/hopper/hopper_tensor_map.h"
#include "core/kernels/causal_attention/hopper/hopper_tiles.cuh"
#include "core/kernels/cuda/element_types.h"
#include "core/kernels/cuda/launch.h"

namespace sluice::cuda {

// The consumers of a block where tiles are many.
template <int D>
inline constexpr int kManyConsumers = D == 64 ? 3 : 2;

template <int D, int kNumConsumers>
struct HopperForwardConfig {
  static constexpr int kConsumers = kNumConsumers;
  // At most; what shared memory and registers allow.
  static constexpr int kBlocksPerMultiprocessor = kConsumers == 1 && D == 64 ? 2 : 1;
  static constexpr int kConsumerRegisters = kConsumers == 3 ? 160 : kConsumers == 2 ? 240 : 224;
  static constexpr int kProducerRegisters = kConsumers == 3 ? 32 : 24;
  static constexpr int kThreads = (kConsumers + 1) * kWarpgroupThreads;
  static constexpr int kQueryTile = kConsumers * 64;
  static constexpr int kKeyTile = 128;
  static constexpr int kStages = 2;
  // Named barrier kTurn + c lets consumer c multiply.
  static constexpr int kTurn = 1;
};

template <int D, int kConsumers>
struct HopperForwardMemory {
  using Config = HopperForwardConfig<D, kConsumers>;
  alignas(1024) unsigned char q[Config::kConsumers][kTileBytes<D, 64>];
  alignas(1024) unsigned char k[Config::kStages][kTileBytes<D, Config::kKeyTile>];
  alignas(1024) unsigned char v[Config::kStages][kTileBytes<D, Config::kKeyTile>];
  alignas(1024) unsigned char out[Config::kConsumers][kTileBytes<D, 64>];
  uint64_t q_full;
  uint64_t q_empty;
  uint64_t k_full[Config::kStages];
  uint64_t k_empty[Config::kStages];
  uint64_t v_full[Config::kStages];
  uint64_t v_empty[Config::kStages];
};

struct HopperForwardTile {
  int first_query;
  int pair;
  int num_key_tiles;
};

// Calls visit(tile) for this block's tiles.  Blocks take tiles in turn, every other round
// backwards, so that the sums of lengths are nearly equal.
template <typename Config, typename Visit>
__device__ __forceinline__ void ForEachForwardTile(const AttentionShape& shape, Visit visit) {
  const int num_query_tiles = (shape.slice_len + Config::kQueryTile - 1) / Config::kQueryTile;
  const int num_tiles = num_query_tiles * shape.num_pairs;
  const int num_blocks = static_cast<int>(gridDim.x);
  const int block = static_cast<int>(blockIdx.x);
  for (int round = 0;; ++round) {
    const int index = round * num_blocks + (round % 2 == 0 ? block : num_blocks - 1 - block);
    if (index >= num_tiles) return;
    const int first_query = (num_query_tiles - 1 - index / shape.num_pairs) * Config::kQueryTile;
    const int last_key =
        shape.prefix_len + min(first_query + Config::kQueryTile, shape.slice_len) - 1;
    visit(HopperForwardTile{first_query, index % shape.num_pairs, last_key / Config::kKeyTile + 1});
  }
}

template <int D, int kConsumers>
__device__ __forceinline__ void HopperForwardProducer(HopperForwardMemory<D, kConsumers>& shared,
                                                      const CUtensorMap& map,
                                                      const AttentionShape& shape) {
  using Config = HopperForwardConfig<D, kConsumers>;
  RingPosition<Config::kStages> at;
  RingPosition<1> q_at;
  const auto copy_keys = [&](unsigned char* to, uint64_t* full, uint64_t* empty, int role, int pair,
                             int first_key) {
    Wait(empty, at.parity ^ 1);
    ArriveAndExpectBytes(full, kTileBytes<D, Config::kKeyTile>);
    CopyTileAsync<D, Config::kKeyTile>(to, map, {0, role, pair, first_key}, full);
  };
  ForEachForwardTile<Config>(shape, [&](const HopperForwardTile& tile) {
    Wait(&shared.q_empty, q_at.parity ^ 1);
    ArriveAndExpectBytes(&shared.q_full, Config::kConsumers * kTileBytes<D, 64>);
    for (int consumer = 0; consumer < Config::kConsumers; ++consumer) {
      CopyTileAsync<D, 64>(shared.q[consumer], map,
                           {0, 0, tile.pair, shape.prefix_len + tile.first_query + 64 * consumer},
                           &shared.q_full);
    }
    q_at.Advance();
    for (int key_tile = tile.num_key_tiles - 1; key_tile >= 0; --key_tile) {
      const int s = at.stage;
      const int first_key = key_tile * Config::kKeyTile;
      copy_keys(shared.k[s], &shared.k_full[s], &shared.k_empty[s], 1, tile.pair, first_key);
      copy_keys(shared.v[s], &shared.v_full[s], &shared.v_empty[s], 2, tile.pair, first_key);
      at.Advance();
    }
  });
}

// The online softmax of a thread's two rows.
struct FragmentSoftmax {
  float maximum[2] = {-kInfinity, -kInfinity};
  float sum[2] = {0, 0};  // of this thread's columns

  // Turns raw scores (minus infinity where masked) into exp2(scale2 (score - row maximum)); what
  // came before is to be multiplied by `rescale`.
  template <int kCount>
  __device__ __forceinline__ void Step(float (&scores)[kCount], float scale2, float (&rescale)[2]) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float row_maximum = maximum[h];
#pragma unroll
      for (int j = 0; j < kCount / 4; ++j) {
        row_maximum = fmaxf(row_maximum, fmaxf(scores[4 * j + 2 * h], scores[4 * j + 2 * h + 1]));
      }
      row_maximum = GroupMax<4>(row_maximum);
      // A row may be wholly masked so far.
      const float base = row_maximum == -kInfinity ? 0 : row_maximum * scale2;
      rescale[h] = Exp2(fmaf(maximum[h], scale2, -base));
      maximum[h] = row_maximum;
      float new_sum = 0;
#pragma unroll
      for (int j = 0; j < kCount / 4; ++j) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          float& score = scores[4 * j + 2 * h + c];
          score = Exp2(fmaf(score, scale2, -base));
          new_sum += score;
        }
      }
      sum[h] = fmaf(sum[h], rescale[h], new_sum);
    }
  }
};

// One consumer warpgroup: its place in the rings of tiles, and what it does with a tile.
template <typename T, int D, int kConsumers>
struct HopperForwardConsumer {
  using Config = HopperForwardConfig<D, kConsumers>;
  static constexpr int kKeyTile = Config::kKeyTile;
  static constexpr int kTurnThreads = 2 * kWarpgroupThreads;

  HopperForwardMemory<D, kConsumers>& shared;
  const AttentionForwardParams& params;
  int consumer;
  RingPosition<Config::kStages> k_at;
  RingPosition<Config::kStages> v_at;
  RingPosition<1> q_at;

  __device__ __forceinline__ void Release(uint64_t* empty) {
    if (threadIdx.x % 32 == 0) Arrive(empty);
  }
  __device__ __forceinline__ void ReleaseKeys() {
    Release(&shared.k_empty[k_at.stage]);
    k_at.Advance();
  }
  __device__ __forceinline__ void ReleaseValues() {
    Release(&shared.v_empty[v_at.stage]);
    v_at.Advance();
  }

  __device__ __forceinline__ void AwaitTurn() {
    if constexpr (kConsumers > 1) WaitAtNamedBarrier(Config::kTurn + consumer, kTurnThreads);
  }
  __device__ __forceinline__ void GiveTurnTo(int next) {
    if constexpr (kConsumers > 1) ArriveAtNamedBarrier(Config::kTurn + next, kTurnThreads);
  }

  __device__ __forceinline__ void MultiplyKeys(float (&scores)[kKeyTile / 2]) {
    MultiplyNT<T, D, kKeyTile>(scores, DescribeTile(shared.q[consumer], 0), 64 * kBlockRowBytes,
                               DescribeTile(shared.k[k_at.stage], 0), kKeyTile * kBlockRowBytes);
    CommitProducts();
  }
  __device__ __forceinline__ void MultiplyValues(float (&output)[D / 2],
                                                 const uint32_t (&probabilities)[kKeyTile / 4]) {
    MultiplyNN<T, D, kKeyTile>(output, probabilities,
                               DescribeTile(shared.v[v_at.stage], kKeyTile * kBlockRowBytes));
    CommitProducts();
  }

  __device__ __forceinline__ void Visit(const HopperForwardTile& tile) {
    // The last key that the consumer's first query sees.
    const int visible = params.shape.prefix_len + tile.first_query + 64 * consumer;
    const float scale2 = rsqrtf(static_cast<float>(D)) * kLog2e;
    float output[D / 2] = {};
    float scores[kKeyTile / 2];
    uint32_t probabilities[kKeyTile / 4];
    float rescale[2];
    FragmentSoftmax softmax;
    const auto take_softmax = [&](int key_tile) {
      const int first_key = key_tile * kKeyTile;
      if (visible < first_key + kKeyTile - 1) {
        MaskLaterKeys(scores, visible + AccumulatorRow() - first_key);
      }
      softmax.Step(scores, scale2, rescale);
    };

    // The last key tile, which holds the diagonal: scores and softmax, nothing to overlap yet.
    Wait(&shared.q_full, q_at.parity);
    q_at.Advance();
    Wait(&shared.k_full[k_at.stage], k_at.parity);
    PinRegisters(scores);
    BeginProducts();
    MultiplyKeys(scores);
    WaitForProducts<0>();
    PinRegisters(scores);
    ReleaseKeys();
    take_softmax(tile.num_key_tiles - 1);
    PackScores<T>(probabilities, scores);

    for (int key_tile = tile.num_key_tiles - 2; key_tile >= 0; --key_tile) {
      // Issue both products in this consumer's turn: scores of this tile, then output += p v of the
      // previous one.
      Wait(&shared.k_full[k_at.stage], k_at.parity);
      AwaitTurn();
      PinRegisters(scores);
      PinRegisters(output);
      BeginProducts();
      MultiplyKeys(scores);
      Wait(&shared.v_full[v_at.stage], v_at.parity);
      MultiplyValues(output, probabilities);
      GiveTurnTo((consumer + 1) % kConsumers);
      // The scores are complete: their softmax runs while the product with the values goes on.
      WaitForProducts<1>();
      PinRegisters(scores);
      ReleaseKeys();
      take_softmax(key_tile);
      // The output is complete: rescale it to the new maximum.
      WaitForProducts<0>();
      PinRegisters(output);
      ReleaseValues();
#pragma unroll
      for (int i = 0; i < D / 2; ++i) output[i] *= rescale[i % 4 / 2];
      PackScores<T>(probabilities, scores);
    }
    Release(&shared.q_empty);

    // The product with the values of the first key tile, whose softmax came last.
    Wait(&shared.v_full[v_at.stage], v_at.parity);
    PinRegisters(output);
    BeginProducts();
    MultiplyValues(output, probabilities);
    WaitForProducts<0>();
    PinRegisters(output);
    ReleaseValues();
    Store(tile, output, softmax);
  }

  __device__ __forceinline__ void Store(const HopperForwardTile& tile, const float (&output)[D / 2],
                                        const FragmentSoftmax& softmax) {
    const AttentionShape& shape = params.shape;
    const float scale = rsqrtf(static_cast<float>(D));
    const int first_query = tile.first_query + 64 * consumer;
    float row_scale[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const float sum = GroupSum<4>(softmax.sum[h]);
      const int query = first_query + AccumulatorRow() + 8 * h;
      row_scale[h] = 1 / sum;
      if (threadIdx.x % 4 == 0 && query < shape.slice_len) {
        params.lse[int64_t{query} * shape.num_pairs + tile.pair] =
            softmax.maximum[h] * scale + logf(sum);
      }
    }
    const int64_t row_stride = int64_t{shape.num_pairs} * D;
    StoreRows<T, D>(output, row_scale, shared.out[consumer],
                    {static_cast<T*>(params.out) + first_query * row_stride + tile.pair * D,
                     row_stride, shape.slice_len - first_query});
  }
};

template <typename T, int D, int kConsumers>
__global__ void __launch_bounds__(HopperForwardConfig<D, kConsumers>::kThreads,
                                  HopperForwardConfig<D, kConsumers>::kBlocksPerMultiprocessor)
    HopperForwardKernel(const __grid_constant__ CUtensorMap qkv_map,
                        const AttentionForwardParams params) {
  using Config = HopperForwardConfig<D, kConsumers>;
  extern __shared__ __align__(1024) unsigned char memory[];
  auto& shared = *reinterpret_cast<HopperForwardMemory<D, kConsumers>*>(memory);
  const int warpgroup = static_cast<int>(threadIdx.x) / kWarpgroupThreads;
  if (threadIdx.x == 0) {
    constexpr int kReleases = Config::kConsumers * 4;  // one of each consumer warp
    InitBarrier(&shared.q_full, 1);
    InitBarrier(&shared.q_empty, kReleases);
    for (int stage = 0; stage < Config::kStages; ++stage) {
      InitBarrier(&shared.k_full[stage], 1);
      InitBarrier(&shared.k_empty[stage], kReleases);
      InitBarrier(&shared.v_full[stage], 1);
      InitBarrier(&shared.v_empty[stage], kReleases);
    }
    FenceBarrierInit();
    PrefetchMap(qkv_map);
  }
  __syncthreads();
  if (warpgroup == 0) {
    DecreaseRegisters<Config::kProducerRegisters>();
    if (threadIdx.x == 0) HopperForwardProducer<D, kConsumers>(shared, qkv_map, params.shape);
  } else {
    IncreaseRegisters<Config::kConsumerRegisters>();
    HopperForwardConsumer<T, D, kConsumers> consumer = {shared, params, warpgroup - 1};
    if (consumer.consumer == kConsumers - 1) consumer.GiveTurnTo(0);
    ForEachForwardTile<Config>(params.shape,
                               [&](const HopperForwardTile& tile) { consumer.Visit(tile); });
  }
}

template <typename Config>
int NumForwardTiles(const AttentionShape& shape) {
  return (shape.slice_len + Config::kQueryTile - 1) / Config::kQueryTile * shape.num_pairs;
}

// Blocks of this form that the current device holds at once.
template <typename Config>
int NumResidentForwardBlocks() {
  return NumMultiprocessors() * Config::kBlocksPerMultiprocessor;
}

template <int D>
bool OneConsumerIsFaster(const AttentionShape& shape) {
  using Config = HopperForwardConfig<D, 1>;
  // As measured: where two blocks share a multiprocessor they fill each other's gaps, and the form
  // is faster for more tiles than its blocks can take at once.
  constexpr int kMostRounds = Config::kBlocksPerMultiprocessor == 2 ? 3 : 1;
  return NumForwardTiles<Config>(shape) <= kMostRounds * NumResidentForwardBlocks<Config>();
}

template <typename T, int D, int kConsumers>
void LaunchHopperForwardKernel(const AttentionForwardParams& params, cudaStream_t stream) {
  using Config = HopperForwardConfig<D, kConsumers>;
  const AttentionShape& shape = params.shape;
  const auto kernel = &HopperForwardKernel<T, D, kConsumers>;
  constexpr int kSharedBytes = sizeof(HopperForwardMemory<D, kConsumers>);
  AllowSharedBytes(kernel, kSharedBytes);
  const CUtensorMap map =
      MakeTensorMap({params.qkv, DTypeOf<T>::value, shape.num_keys, shape.num_pairs, 3, D});
  kernel<<<std::min(NumForwardTiles<Config>(shape), NumResidentForwardBlocks<Config>()),
           Config::kThreads, kSharedBytes, stream>>>(map, params);
  SLUICE_CUDA_CHECK_LAUNCH("HopperAttentionForward");
}

template <typename T>
void LaunchHopperForward(const AttentionForwardParams& params, cudaStream_t stream) {
  WithHopperHeadDim(params.shape.head_dim, [&](auto head_dim) {
    constexpr int D = decltype(head_dim)::value;
    if (OneConsumerIsFaster<D>(params.shape)) {
      LaunchHopperForwardKernel<T, D, 1>(params, stream);
    } else {
      LaunchHopperForwardKernel<T, D, kManyConsumers<D>>(params, stream);
    }
  });
}

}  // namespace sluice::cuda
