// One block's part of the gradient of a linear layer's input: 16 rows, kColumns columns, and the
// backward of what stands in front of the layer.
#pragma once

#include "core/kernels/cuda/dependent_launch.cuh"
#include "core/kernels/cuda/tile_product.cuh"
#include "core/kernels/small_backward/cluster.cuh"
#include "core/kernels/small_backward/input_gradient.h"

namespace sluice::cuda {

// Columns of a tile, and blocks of a cluster, at most.
template <InputGradientKind kKind>
inline constexpr int kInputGradientColumns = kKind == InputGradientKind::kRelu ? 64 : 32;
inline constexpr int kMaxClusterSize = 8;

// Two neighbouring elements.
template <typename T>
__device__ inline float2 LoadPair(const T* from) {
  const uint32_t pair = *reinterpret_cast<const uint32_t*>(from);
  const T* elements = reinterpret_cast<const T*>(&pair);
  return {ToFloat(elements[0]), ToFloat(elements[1])};
}
template <typename T>
__device__ inline void StorePair(T* to, float2 value) {
  *reinterpret_cast<uint32_t*>(to) = Pack<T>(value.x, value.y);
}

// What a block keeps beside the operands of the product for the backward of a layer norm.
struct NormMemory {
  float2 row_sums[kMaxClusterSize][kTileRows];  // by block of the cluster, who writes them
  float2 column_sums[kTileWarps][kInputGradientColumns<InputGradientKind::kNorm>];
};

template <typename T, InputGradientKind kKind>
class InputGradientTile {
 public:
  static constexpr int kColumns = kInputGradientColumns<kKind>;
  // Elements of the result that a thread holds, in pairs.
  static constexpr int kPairs = kTileRows * kColumns / 2 / kTileThreads;

  static int SharedBytes(int out_features) {
    const int left_bytes = kTileRows * TileStride(out_features) * static_cast<int>(sizeof(T));
    const int sum_bytes = PartialSums::SizeBytes(kColumns);
    return static_cast<int>(sizeof(NormMemory)) +
           SwizzledTile<T, kColumns>::SizeBytes(out_features) + max(left_bytes, sum_bytes);
  }

  __device__ InputGradientTile(const InputGradient<T>& input, int index, unsigned char* memory)
      : in_(input),
        first_row_(index / (input.in_features / kColumns) * kTileRows),
        first_column_(index % (input.in_features / kColumns) * kColumns),
        norm_memory_(*reinterpret_cast<NormMemory*>(memory)),
        weight_(reinterpret_cast<T*>(memory + sizeof(NormMemory))),
        left_(reinterpret_cast<T*>(memory + sizeof(NormMemory) +
                                   SwizzledTile<T, kColumns>::SizeBytes(input.out_features))),
        sums_(reinterpret_cast<float*>(left_), kColumns) {}

  // Loads before the wait what the forward has written, and weights.
  __device__ void Run() {
    const StepRange steps = StepsOfWarp(in_.out_features);
    weight_.CopyRowsAsync(in_.weight + first_column_, in_.in_features, steps.begin * 16,
                          steps.end * 16);
    Operands operands;
    LoadOperands(operands);
    if constexpr (kKind == InputGradientKind::kNorm) ArriveAtCluster();
    WaitForPreviousKernels();
    LoadLeftAsync(steps);
    if constexpr (kKind == InputGradientKind::kNorm) LoadResidual(operands);
    WaitForAllCopies();
    __syncwarp();
    float product[kColumns / 8][4] = {};
    MultiplySteps<T, kColumns>(product, left_, TileStride(in_.out_features), weight_, steps);
    // The partial sums lie where the left operand was.
    __syncthreads();
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) sums_.Store(n * 8, product[n]);
    __syncthreads();
    if constexpr (kKind == InputGradientKind::kNorm) {
      StoreNormBackward(operands);
    } else {
      StoreProduct(operands);
    }
  }

 private:
  // What a thread needs beside the product at its places.
  struct Operands {
    float2 first[kPairs];  // of relu_out, or of x
    float2 residual_gradient = {0, 0};
    float2 weight = {0, 0};
    float mean = 0;
    float rstd = 0;
  };

  // The tile's row and column of pair i of this thread.
  __device__ static int Row(int i) {
    return (static_cast<int>(threadIdx.x) + i * kTileThreads) / (kColumns / 2);
  }
  __device__ static int Column() { return static_cast<int>(threadIdx.x) % (kColumns / 2) * 2; }

  __device__ int64_t At(int i) const {
    return int64_t{first_row_ + Row(i)} * in_.in_features + first_column_ + Column();
  }

  // Each warp loads what it multiplies.
  __device__ void LoadLeftAsync(const StepRange& steps) const {
    if (steps.begin == steps.end) return;
    CopyTileAsync<4>(left_ + steps.begin * 16, TileStride(in_.out_features),
                     {kTileRows, (steps.end - steps.begin) * 16},
                     {in_.dout + int64_t{first_row_} * in_.out_features + steps.begin * 16,
                      in_.out_features, in_.num_tokens - first_row_},
                     OwnWarp());
  }

  // What the forward has written: before the wait.
  __device__ void LoadOperands(Operands& operands) const {
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      operands.first[i] = {0, 0};
      if (first_row_ + Row(i) >= in_.num_tokens) continue;
      if constexpr (kKind == InputGradientKind::kRelu) {
        operands.first[i] = LoadPair(in_.relu_out + At(i));
      } else if constexpr (kKind == InputGradientKind::kNorm) {
        const NormBackward<T>& norm = in_.norm;
        operands.first[i] = LoadPair(norm.x + At(i));
        operands.weight = *reinterpret_cast<const float2*>(norm.weight + first_column_ + Column());
        operands.mean = norm.mean[first_row_ + Row(i)];
        operands.rstd = norm.rstd[first_row_ + Row(i)];
      }
    }
  }

  __device__ void LoadResidual(Operands& operands) const {
    if (in_.norm.residual_gradient == nullptr || first_row_ + Row(0) >= in_.num_tokens) return;
    operands.residual_gradient = LoadPair(in_.norm.residual_gradient + At(0));
  }

  __device__ int num_rows() const { return in_.num_tokens - first_row_; }

  __device__ void StoreProduct(const Operands& operands) const {
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      if (Row(i) >= num_rows()) continue;
      float2 dx = sums_.Sum(Row(i), Column());
      if constexpr (kKind == InputGradientKind::kRelu) {
        if (!(operands.first[i].x > 0)) dx.x = 0;
        if (!(operands.first[i].y > 0)) dx.y = 0;
      }
      StorePair(in_.dx + At(i), dx);
    }
  }

  // With g = dout * weight and n = (x - mean) * rstd, as in layer_norm_cuda.cu:
  //   dx = rstd * (g - average(g) - n * average(g * n)) + residual_gradient
  // 16 neighbouring threads hold the tile's part of a row; the cluster holds all of it.
  __device__ void StoreNormBackward(const Operands& operands) {
    static_assert(kKind != InputGradientKind::kNorm || kPairs == 1);
    const float2 dout = sums_.Sum(Row(0), Column());
    const float2 n = {(operands.first[0].x - operands.mean) * operands.rstd,
                      (operands.first[0].y - operands.mean) * operands.rstd};
    const float2 g = {dout.x * operands.weight.x, dout.y * operands.weight.y};
    const float2 row_sum = {GroupSum<16>(g.x + g.y), GroupSum<16>(g.x * n.x + g.y * n.y)};
    const int cluster_size = in_.in_features / kColumns;
    const int rank = first_column_ / kColumns;
    const int lane = static_cast<int>(threadIdx.x) % 16;
    WaitForCluster();  // all of its blocks have started
    if (lane < cluster_size) {
      StoreToBlock(lane, &norm_memory_.row_sums[rank][Row(0)], row_sum);
    }
    ArriveAtCluster();
    StoreColumnSums(dout, n);
    WaitForCluster();
    float2 whole = {0, 0};
    if (lane < cluster_size) whole = norm_memory_.row_sums[lane][Row(0)];
    const float scale = 1.0f / static_cast<float>(in_.in_features);
    const float average_g = GroupSum<16>(whole.x) * scale;
    const float average_gn = GroupSum<16>(whole.y) * scale;
    if (Row(0) >= num_rows()) return;
    StorePair(
        in_.dx + At(0),
        {operands.residual_gradient.x + operands.rstd * (g.x - average_g - n.x * average_gn),
         operands.residual_gradient.y + operands.rstd * (g.y - average_g - n.y * average_gn)});
  }

  // The tile's part of dweight and dbias.  Rows beyond the last token have a dout of 0.
  __device__ void StoreColumnSums(float2 dout, float2 n) {
    const auto over_rows_of_warp = [](float x) { return x + __shfl_xor_sync(0xffffffffu, x, 16); };
    const float2 dweight = {over_rows_of_warp(dout.x * n.x), over_rows_of_warp(dout.y * n.y)};
    const float2 dbias = {over_rows_of_warp(dout.x), over_rows_of_warp(dout.y)};
    if (LaneIndex() < 16) {
      norm_memory_.column_sums[WarpIndex()][Column()] = {dweight.x, dbias.x};
      norm_memory_.column_sums[WarpIndex()][Column() + 1] = {dweight.y, dbias.y};
    }
    __syncthreads();
    if (threadIdx.x >= kColumns) return;
    float2 sum = {0, 0};
#pragma unroll
    for (int warp = 0; warp < kTileWarps; ++warp) {
      const float2 part = norm_memory_.column_sums[warp][threadIdx.x];
      sum.x += part.x;
      sum.y += part.y;
    }
    float* partials = in_.norm.partials + int64_t{first_row_ / kTileRows} * 2 * in_.in_features +
                      first_column_ + static_cast<int>(threadIdx.x);
    partials[0] = sum.x;
    partials[in_.in_features] = sum.y;
  }

  const InputGradient<T>& in_;
  int first_row_;
  int first_column_;
  NormMemory& norm_memory_;
  SwizzledTile<T, kColumns> weight_;
  T* left_;
  PartialSums sums_;
};

}  // namespace sluice::cuda
