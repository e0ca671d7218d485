// The kernel of hopper_matmul.h; included by one .cu file per element type.
//
// Shapes, all row-major: A [num_rows, num_summed], B [num_columns, num_summed], D [num_rows,
// num_columns] = A B^T.
//
// A block computes tiles of 256 rows of D.  One thread of its producer warpgroup loads 64 summed
// columns of A and of B at a time through a ring of stages; each of two consumer warpgroups
// multiplies 128 rows.
#pragma once

#include <algorithm>
#include <tuple>
#include <utility>

#include "core/base/checked_math.h"
#include "core/device/cuda/cuda_check.h"
#include "core/kernels/cuda/dependent_launch.cuh"
#include "core/kernels/cuda/hopper_primitives.cuh"
#include "core/kernels/cuda/hopper_wgmma.cuh"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/cuda/tensor_map.h"
#include "core/kernels/matmul/hopper_matmul.h"
#include "core/kernels/matmul/hopper_matmul_tiles.h"

namespace sluice::cuda {

struct HopperMatmulParams {
  int num_rows = 0;     // of D
  int num_columns = 0;  // of D
  int num_summed = 0;
  const void* bias = nullptr;   // [num_columns] or nullptr
  const void* added = nullptr;  // [num_rows, num_columns] or nullptr; may be d
  void* d = nullptr;
  int has_relu = 0;
};

template <typename Tile>
struct HopperMatmulMemory {
  alignas(1024) unsigned char rows[Tile::kStages][Tile::kRowBytes];
  alignas(1024) unsigned char columns[Tile::kStages][Tile::kColumnBytes];
  uint64_t full[Tile::kStages];
  uint64_t empty[Tile::kStages];
};

// Calls visit(first_row, first_column) for this block's tiles.
template <typename Tile, typename Visit>
__device__ __forceinline__ void ForEachMatmulTile(const HopperMatmulParams& params, Visit visit) {
  const int num_row_tiles = (params.num_rows + Tile::kRows - 1) / Tile::kRows;
  const int num_column_tiles = (params.num_columns + Tile::kColumns - 1) / Tile::kColumns;
  for (int i = static_cast<int>(blockIdx.x); i < num_row_tiles * num_column_tiles;
       i += static_cast<int>(gridDim.x)) {
    visit(i % num_row_tiles * Tile::kRows, i / num_row_tiles * Tile::kColumns);
  }
}

template <typename Tile>
__device__ __forceinline__ void HopperMatmulProducer(HopperMatmulMemory<Tile>& shared,
                                                     const CUtensorMap& row_map,
                                                     const CUtensorMap& column_map,
                                                     const HopperMatmulParams& params) {
  RingPosition<Tile::kStages> at;
  ForEachMatmulTile<Tile>(params, [&](int row, int column) {
    for (int summed = 0; summed < params.num_summed; summed += kBlockColumns, at.Advance()) {
      uint64_t* const full = &shared.full[at.stage];
      Wait(&shared.empty[at.stage], at.parity ^ 1);
      ArriveAndExpectBytes(full, Tile::kRowBytes + Tile::kColumnBytes);
      CopyBoxAsync(shared.rows[at.stage], row_map, MatrixCoordinates{summed, row}, full);
      CopyBoxAsync(shared.columns[at.stage], column_map, MatrixCoordinates{summed, column}, full);
    }
  });
}

// Two neighbouring elements.
__device__ inline float2 LoadPair(const __nv_bfloat16* p) {
  return __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(p));
}
__device__ inline float2 LoadPair(const __half* p) {
  return __half22float2(*reinterpret_cast<const __half2*>(p));
}

// What the four lanes of a quad hold of four neighbouring column blocks of 8,
// two columns each, as one block a lane.
__device__ __forceinline__ uint4 TransposeQuad(const uint32_t (&x)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % 4;
  const bool is_high = (lane & 2) != 0;
  const bool is_odd = (lane & 1) != 0;
  const auto exchange = [](uint32_t value, int mask) {
    return __shfl_xor_sync(0xffffffffu, value, mask);
  };
  const uint32_t kept0 = is_high ? x[2] : x[0];
  const uint32_t kept1 = is_high ? x[3] : x[1];
  const uint32_t far0 = exchange(is_high ? x[0] : x[2], 2);
  const uint32_t far1 = exchange(is_high ? x[1] : x[3], 2);
  const uint32_t own = is_odd ? kept1 : kept0;
  const uint32_t across = is_odd ? far1 : far0;
  const uint32_t near_own = exchange(is_odd ? kept0 : kept1, 1);
  const uint32_t near_across = exchange(is_odd ? far0 : far1, 1);
  // From lanes of the own half of the quad, and from the other half.
  const uint32_t low = is_high ? across : own;
  const uint32_t low_near = is_high ? near_across : near_own;
  const uint32_t high = is_high ? own : across;
  const uint32_t high_near = is_high ? near_own : near_across;
  return {is_odd ? low_near : low, is_odd ? low : low_near, is_odd ? high_near : high,
          is_odd ? high : high_near};
}

// The thread's accumulators of 64 rows and 2 kCount columns of D from (row,
// column) on.
template <typename T>
struct MatmulFragment {
  const HopperMatmulParams& params;
  int row;     // the thread's first; the other is 8 further
  int column;  // the fragment's first

  // x = bias + added.
  template <int kCount>
  __device__ __forceinline__ void Begin(float (&x)[kCount]) const {
    const int first = column + static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
    for (int i = 0; i < kCount; ++i) x[i] = 0;
    if (params.bias != nullptr) {
#pragma unroll
      for (int j = 0; j < kCount / 4; ++j) {
        if (column + 8 * j >= params.num_columns) continue;
        const float2 bias = LoadPair(static_cast<const T*>(params.bias) + first + 8 * j);
        x[4 * j] = x[4 * j + 2] = bias.x;
        x[4 * j + 1] = x[4 * j + 3] = bias.y;
      }
    }
    if (params.added != nullptr) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        if (row + 8 * h >= params.num_rows) continue;
        const T* from =
            static_cast<const T*>(params.added) + int64_t{row + 8 * h} * params.num_columns + first;
#pragma unroll
        for (int j = 0; j < kCount / 4; ++j) {
          if (column + 8 * j >= params.num_columns) continue;
          const float2 added = LoadPair(from + 8 * j);
          x[4 * j + 2 * h] += added.x;
          x[4 * j + 2 * h + 1] += added.y;
        }
      }
    }
  }

  // D = activation(x).
  template <int kCount>
  __device__ __forceinline__ void Store(float (&x)[kCount]) const {
    if (params.has_relu != 0) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) x[i] = fmaxf(x[i], 0);
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) StoreRow(x, h);
  }

 private:
  template <int kCount>
  __device__ __forceinline__ void StoreRow(const float (&x)[kCount], int h) const {
    const int lane = static_cast<int>(threadIdx.x) % 4;
    const bool is_inside = row + 8 * h < params.num_rows;
    T* const to = static_cast<T*>(params.d) + int64_t{row + 8 * h} * params.num_columns + column;
    const auto packed = [&](int j) { return Pack<T>(x[4 * j + 2 * h], x[4 * j + 2 * h + 1]); };
    constexpr int kWhole = kCount / 16 * 4;
#pragma unroll
    for (int j = 0; j < kWhole; j += 4) {
      const uint32_t own[4] = {packed(j), packed(j + 1), packed(j + 2), packed(j + 3)};
      const uint4 block = TransposeQuad(own);
      if (is_inside && column + 8 * (j + lane) < params.num_columns) {
        *reinterpret_cast<uint4*>(to + 8 * (j + lane)) = block;
      }
    }
#pragma unroll
    for (int j = kWhole; j < kCount / 4; ++j) {
      if (is_inside && column + 8 * j < params.num_columns) {
        *reinterpret_cast<uint32_t*>(to + 8 * j + 2 * lane) = packed(j);
      }
    }
  }
};

// One consumer warpgroup.
template <typename T, typename Tile>
struct HopperMatmulConsumer {
  static constexpr int kCount = Tile::kAccumulators;

  HopperMatmulMemory<Tile>& shared;
  const HopperMatmulParams& params;
  int consumer;
  RingPosition<Tile::kStages> at;

  __device__ __forceinline__ void Release(int stage) {
    if (threadIdx.x % 32 == 0) Arrive(&shared.empty[stage]);
  }

  __device__ __forceinline__ void Multiply(float (&x)[Tile::kBlocks][kCount]) {
    const int row_bytes = consumer * Tile::kBlocks * 64 * kBlockRowBytes;
    const uint64_t rows = DescribeTile(shared.rows[at.stage] + row_bytes, 0);
    const uint64_t columns = DescribeTile(shared.columns[at.stage], 0);
#pragma unroll
    for (int k = 0; k < kBlockColumns / 16; ++k) {
#pragma unroll
      for (int block = 0; block < Tile::kBlocks; ++block) {
        MultiplySharedStep<T, Tile::kColumns>(x[block],
                                              rows + ((block * 64 * kBlockRowBytes + k * 32) >> 4),
                                              columns + ((k * 32) >> 4), 1);
      }
    }
    CommitProducts();
  }

  __device__ __forceinline__ void Pin(float (&x)[Tile::kBlocks][kCount]) {
#pragma unroll
    for (int block = 0; block < Tile::kBlocks; ++block) PinRegisters(x[block]);
  }

  __device__ __forceinline__ void Visit(int first_row, int first_column) {
    const int row = first_row + consumer * Tile::kBlocks * 64 + AccumulatorRow();
    float x[Tile::kBlocks][kCount];
#pragma unroll
    for (int block = 0; block < Tile::kBlocks; ++block) {
      MatmulFragment<T>{params, row + 64 * block, first_column}.Begin(x[block]);
    }
    Wait(&shared.full[at.stage], at.parity);
    Pin(x);
    BeginProducts();
    Multiply(x);
    int last_stage = at.stage;
    at.Advance();
    for (int summed = kBlockColumns; summed < params.num_summed; summed += kBlockColumns) {
      Wait(&shared.full[at.stage], at.parity);
      Pin(x);
      BeginProducts();
      Multiply(x);
      WaitForProducts<1>();
      Pin(x);
      Release(last_stage);
      last_stage = at.stage;
      at.Advance();
    }
    WaitForProducts<0>();
    Pin(x);
    Release(last_stage);
#pragma unroll
    for (int block = 0; block < Tile::kBlocks; ++block) {
      MatmulFragment<T>{params, row + 64 * block, first_column}.Store(x[block]);
    }
  }
};

// D = activation(A B^T + bias + added); A is [num_rows, num_summed], B
// [num_columns, num_summed].
template <typename T, typename Tile>
__global__ void __launch_bounds__(Tile::kThreads, 1)
    HopperMatmulKernel(const __grid_constant__ CUtensorMap row_map,
                       const __grid_constant__ CUtensorMap column_map,
                       const HopperMatmulParams params) {
  extern __shared__ __align__(1024) unsigned char memory[];
  auto& shared = *reinterpret_cast<HopperMatmulMemory<Tile>*>(memory);
  const int warpgroup = static_cast<int>(threadIdx.x) / kWarpgroupThreads;
  AllowNextKernel();
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < Tile::kStages; ++stage) {
      InitBarrier(&shared.full[stage], 1);
      InitBarrier(&shared.empty[stage], Tile::kConsumers * 4);
    }
    FenceBarrierInit();
    PrefetchMap(row_map);
    PrefetchMap(column_map);
  }
  __syncthreads();
  WaitForPreviousKernels();
  if (warpgroup == Tile::kConsumers) {
    DecreaseRegisters<24>();
    if (threadIdx.x % kWarpgroupThreads == 0) {
      HopperMatmulProducer<Tile>(shared, row_map, column_map, params);
    }
  } else {
    IncreaseRegisters<240>();
    HopperMatmulConsumer<T, Tile> consumer = {shared, params, warpgroup, {}};
    ForEachMatmulTile<Tile>(params, [&](int row, int column) { consumer.Visit(row, column); });
  }
}

template <typename T, typename Tile>
void LaunchHopperMatmulTile(const HopperMatmulArgs& args, cudaStream_t stream) {
  const auto kernel = &HopperMatmulKernel<T, Tile>;
  constexpr int kSharedBytes = sizeof(HopperMatmulMemory<Tile>);
  AllowSharedBytes(kernel, kSharedBytes);
  const int64_t num_tiles =
      CeilDiv(args.num_rows, Tile::kRows) * CeilDiv(args.num_columns, Tile::kColumns);
  const CUtensorMap row_map = MakeTensorMap(
      args.a, args.dtype, {{args.num_summed, kBlockColumns}, {args.num_rows, Tile::kRows}});
  const CUtensorMap column_map = MakeTensorMap(
      args.b, args.dtype, {{args.num_summed, kBlockColumns}, {args.num_columns, Tile::kColumns}});
  LaunchOverlapped(
      kernel,
      {.grid = static_cast<unsigned>(std::min<int64_t>(num_tiles, NumMultiprocessors())),
       .block = Tile::kThreads,
       .shared_bytes = kSharedBytes},
      stream, row_map, column_map,
      {.num_rows = static_cast<int>(args.num_rows),
       .num_columns = static_cast<int>(args.num_columns),
       .num_summed = static_cast<int>(args.num_summed),
       .bias = args.bias,
       .added = args.added,
       .d = args.d,
       .has_relu = args.activation == Activation::kRelu ? 1 : 0});
  SLUICE_CUDA_CHECK_LAUNCH("HopperMatmul");
}

template <typename T>
void LaunchHopperMatmul(int variant, const HopperMatmulArgs& args, cudaStream_t stream) {
  [&]<size_t... kIndices>(std::index_sequence<kIndices...>) {
    ((static_cast<size_t>(variant) == kIndices
          ? LaunchHopperMatmulTile<T, std::tuple_element_t<kIndices, HopperMatmulTiles>>(args,
                                                                                         stream)
          : void()),
     ...);
  }
  (std::make_index_sequence<std::tuple_size_v<HopperMatmulTiles>>());
}

}  // namespace sluice::cuda
