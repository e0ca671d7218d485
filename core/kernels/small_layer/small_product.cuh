// Products of 16 tokens and a few columns whose operands are in registers: what the kernels of
// small linear layers are made of, forward and backward.
//
// The warps of a block split the sum over K (WarpSplit), and their parts meet once in shared
// memory.  Operands are held as the tensor cores want them (tensor_core.cuh), with one liberty: the
// sum over K may be taken in any order, if both operands take the same.  Lane 4 g + t holds the 8
// neighbours from 8 t on of each 32 of K, so that a row's part is one 16-byte load: of each 4
// neighbours, the first pair stands for k 2 t, 2 t + 1 of a step of 16, the second for those 8
// further.
#pragma once

#include <cstdint>

#include "core/kernels/cuda/device_math.cuh"
#include "core/kernels/cuda/tensor_core.cuh"
#include "core/kernels/cuda/vector_io.cuh"

namespace sluice::cuda {

inline constexpr int kBlockTokens = 16;
inline constexpr int kBlockWarps = 8;
inline constexpr int kBlockThreads = kBlockWarps * kWarpSize;
// Of K: what a quad of lanes loads of a row in one access each.
inline constexpr int kChunkSize = 32;
inline constexpr int kLaneElements = 8;

// out[num_tokens, num_outputs] = x[num_tokens, num_inputs] times weights.  The functions below take
// this or, as `Shape`, a kernel's parameters with these members: copied, they would take registers.
struct ProductShape {
  int num_tokens = 0;
  int num_inputs = 0;  // K
  int num_outputs = 0;
};

// How the warps of a block share its product: each sums one of kInputParts parts of K, up to
// kChunks chunks, for kOutputTiles tiles of 8 columns.
template <int kInputPartsValue, int kOutputTilesValue, int kChunksValue>
struct WarpSplit {
  static constexpr int kInputParts = kInputPartsValue;
  static constexpr int kOutputTiles = kOutputTilesValue;
  static constexpr int kChunks = kChunksValue;
  static constexpr int kColumns = 8 * kOutputTiles * (kBlockWarps / kInputParts);
  static constexpr int kPartialStride = kColumns + 8;  // for the banks
};

// Where a lane stands: its parts of K and of the columns, and its place in the warp.
template <typename Split>
struct LanePlace {
  int input_part = static_cast<int>(threadIdx.x) / kWarpSize % Split::kInputParts;
  int output_part = static_cast<int>(threadIdx.x) / kWarpSize / Split::kInputParts;
  int g = static_cast<int>(threadIdx.x) % kWarpSize / 4;
  int t = static_cast<int>(threadIdx.x) % 4;

  // Of its part of K: the lane's first element, and the chunks, which are kChunkStride apart.
  static constexpr int kChunkStride = Split::kInputParts * kChunkSize;
  __device__ int FirstInput() const { return input_part * kChunkSize + t * kLaneElements; }
  __device__ int NumChunks(int num_inputs) const {
    return (num_inputs / kChunkSize + Split::kInputParts - 1 - input_part) / Split::kInputParts;
  }
};

__device__ inline void Load16(uint32_t (&to)[4], const void* from) {
  const uint4 loaded = *static_cast<const uint4*>(from);
  to[0] = loaded.x;
  to[1] = loaded.y;
  to[2] = loaded.z;
  to[3] = loaded.w;
}

// Rows g and g + 8 of a block's tokens: this lane's elements, packed in pairs.  Chunks that are not
// there are undefined; rows beyond the last token repeat it.
template <typename Split>
struct TokenFragment {
  uint32_t low[Split::kChunks][4];
  uint32_t high[Split::kChunks][4];

  template <typename T, typename Shape>
  __device__ void Load(const T* x, const Shape& shape, const LanePlace<Split>& lane,
                       int first_token) {
    const int last_token = shape.num_tokens - 1;
    const T* from = x + lane.FirstInput();
    const T* from_low = from + min(first_token + lane.g, last_token) * shape.num_inputs;
    const T* from_high = from + min(first_token + lane.g + 8, last_token) * shape.num_inputs;
    const int num_chunks = lane.NumChunks(shape.num_inputs);
#pragma unroll
    for (int i = 0; i < Split::kChunks; ++i) {
      if (i >= num_chunks) break;
      Load16(low[i], from_low + i * lane.kChunkStride);
      Load16(high[i], from_high + i * lane.kChunkStride);
    }
  }
};

// Which extent of the weights in memory is K: in the forward, whose weights are [outputs, inputs],
// a row's elements; in the backward of the same weights their rows.
enum class WeightLayout : uint8_t { kOutputsByInputs, kInputsByOutputs };

// This lane's elements of the weights of its columns; chunks that are not there are undefined.
template <typename Split, WeightLayout kLayout>
struct WeightFragment {
  uint32_t values[Split::kOutputTiles][Split::kChunks][4];

  // Column i of tile j is output Output(j, i) of the warp.  By columns, a lane loads neighbours
  // that lie in tiles that follow each other.
  __device__ static constexpr int Output(int tile, int column) {
    return kLayout == WeightLayout::kOutputsByInputs ? 8 * tile + column
                                                     : Split::kOutputTiles * column + tile;
  }

  // `first_output`: the warp's first.
  template <typename T, typename Shape>
  __device__ void Load(const T* weight, const Shape& shape, const LanePlace<Split>& lane,
                       int first_output) {
    const int num_chunks = lane.NumChunks(shape.num_inputs);
    if constexpr (kLayout == WeightLayout::kOutputsByInputs) {
      const T* from = weight + (first_output + lane.g) * shape.num_inputs + lane.FirstInput();
#pragma unroll
      for (int tile = 0; tile < Split::kOutputTiles; ++tile) {
#pragma unroll
        for (int i = 0; i < Split::kChunks; ++i) {
          if (i < num_chunks) Load16(values[tile][i], from + i * lane.kChunkStride);
        }
        from += 8 * shape.num_inputs;
      }
    } else {
      const T* from =
          weight + lane.FirstInput() * shape.num_outputs + first_output + Output(0, lane.g);
#pragma unroll
      for (int i = 0; i < Split::kChunks; ++i) {
        if (i < num_chunks) LoadChunk(i, from, shape.num_outputs);
        from += lane.kChunkStride * shape.num_outputs;
      }
    }
  }

 private:
  // Rows 2 i and 2 i + 1 of the lane's 8, in pairs of neighbouring columns, become pairs of
  // neighbouring rows.
  template <typename T>
  __device__ void LoadChunk(int chunk, const T* from, int row_stride) {
    constexpr int kWords = Split::kOutputTiles / 2;
#pragma unroll
    for (int pair = 0; pair < 4; ++pair) {
      uint32_t first[kWords];
      uint32_t second[kWords];
      LoadWords(first, from + 2 * pair * row_stride);
      LoadWords(second, from + (2 * pair + 1) * row_stride);
#pragma unroll
      for (int word = 0; word < kWords; ++word) {
        values[2 * word][chunk][pair] = __byte_perm(first[word], second[word], 0x5410);
        values[2 * word + 1][chunk][pair] = __byte_perm(first[word], second[word], 0x7632);
      }
    }
  }
  __device__ static void LoadWords(uint32_t (&to)[1], const void* from) {
    to[0] = *static_cast<const uint32_t*>(from);
  }
  __device__ static void LoadWords(uint32_t (&to)[2], const void* from) {
    const uint2 loaded = *static_cast<const uint2*>(from);
    to[0] = loaded.x;
    to[1] = loaded.y;
  }
};

// This warp's part of the product, to `partials` [kInputParts, kBlockTokens, kPartialStride].
template <typename T, typename Split, WeightLayout kLayout>
__device__ inline void MultiplyPart(const TokenFragment<Split>& x,
                                    const WeightFragment<Split, kLayout>& w,
                                    const LanePlace<Split>& lane, int num_chunks, float* partials) {
  float sums[Split::kOutputTiles][4] = {};
#pragma unroll
  for (int i = 0; i < Split::kChunks; ++i) {
    if (i >= num_chunks) break;
#pragma unroll
    for (int step = 0; step < 4; step += 2) {
      const uint32_t a[4] = {x.low[i][step], x.high[i][step], x.low[i][step + 1],
                             x.high[i][step + 1]};
#pragma unroll
      for (int tile = 0; tile < Split::kOutputTiles; ++tile) {
        MultiplyAccumulate<T>(sums[tile], a, w.values[tile][i][step], w.values[tile][i][step + 1]);
      }
    }
  }
  float* low = partials + (lane.input_part * kBlockTokens + lane.g) * Split::kPartialStride +
               lane.output_part * Split::kOutputTiles * 8;
  float* high = low + 8 * Split::kPartialStride;
  if constexpr (kLayout == WeightLayout::kOutputsByInputs) {
#pragma unroll
    for (int tile = 0; tile < Split::kOutputTiles; ++tile) {
      *reinterpret_cast<float2*>(low + 8 * tile + 2 * lane.t) = {sums[tile][0], sums[tile][1]};
      *reinterpret_cast<float2*>(high + 8 * tile + 2 * lane.t) = {sums[tile][2], sums[tile][3]};
    }
  } else {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int at = w.Output(0, 2 * lane.t + i);
#pragma unroll
      for (int tile = 0; tile < Split::kOutputTiles; tile += 2) {
        *reinterpret_cast<float2*>(low + at + tile) = {sums[tile][i], sums[tile + 1][i]};
        *reinterpret_cast<float2*>(high + at + tile) = {sums[tile][2 + i], sums[tile + 1][2 + i]};
      }
    }
  }
}

// Pairs of neighbouring columns of a block's out, as its threads finish them: pair i of a thread.
template <typename Split>
struct OutputPairs {
  static constexpr int kPairsPerRow = Split::kColumns / 2;
  static constexpr int kPairs = kBlockTokens * kPairsPerRow;
  static constexpr int kPairsPerThread = (kPairs + kBlockThreads - 1) / kBlockThreads;

  __device__ static int Pair(int i) { return static_cast<int>(threadIdx.x) + i * kBlockThreads; }
  __device__ static bool Exists(int i) { return Pair(i) < kPairs; }
  __device__ static int Row(int i) { return Pair(i) / kPairsPerRow; }
  __device__ static int Column(int i) { return Pair(i) % kPairsPerRow * 2; }

  // The sum of the warps' parts, after a barrier.
  __device__ static float2 Sum(int i, const float* partials) {
    float2 sum = {0, 0};
#pragma unroll
    for (int part = 0; part < Split::kInputParts; ++part) {
      const float2 x = *reinterpret_cast<const float2*>(
          partials + (part * kBlockTokens + Row(i)) * Split::kPartialStride + Column(i));
      sum.x += x.x;
      sum.y += x.y;
    }
    return sum;
  }
};

// A layer norm's forward or backward that tokens may go through on their way into the product.
enum class Prologue : uint8_t { kNone, kNorm };

// Shared memory of a block, whose prologue is `Norm`.
template <typename Split, typename Norm>
struct ProductMemory {
  float partials[Split::kInputParts * kBlockTokens * Split::kPartialStride];
  typename Norm::Memory norm;
};

// Elements `offset`, which is even, and the next.
template <typename T>
__device__ inline float2 LoadPair(const void* base, int offset) {
  const uint32_t packed = *reinterpret_cast<const uint32_t*>(static_cast<const T*>(base) + offset);
  const T* values = reinterpret_cast<const T*>(&packed);
  return {ToFloat(values[0]), ToFloat(values[1])};
}

}  // namespace sluice::cuda
