// The backward of a layer norm for the 16 tokens of a block, in the registers from which a product
// takes them (core/kernels/small_layer/small_product.cuh).
//
// With g = dout * weight and n = (x - mean) * rstd, as in layer_norm_cuda.cu:
//   dx = rstd * (g - average(g) - n * average(g * n)) + residual_gradient
#pragma once

#include "core/kernels/small_layer/input_gradient.h"
#include "core/kernels/small_layer/small_product.cuh"

namespace sluice::cuda {

template <typename T, typename Split>
class NormBackwardPrologue {
 public:
  static constexpr int kMaxFeatures = Split::kChunks * Split::kInputParts * kChunkSize;

  struct Memory {
    float weight[kMaxFeatures];
    float2 sums[kBlockTokens][Split::kInputParts];  // of g and g n, of the warps' parts
  };

  // Before the wait: what the forward has left, and the weight.
  __device__ void Load(const NormBackward<T>& norm, const ProductShape& shape,
                       const LanePlace<Split>& lane, int first_token, Memory& shared) {
    x_.Load(norm.x, shape, lane, first_token);
    const int last_token = shape.num_tokens - 1;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int token = min(first_token + lane.g + 8 * i, last_token);
      mean_[i] = norm.mean[token];
      rstd_[i] = norm.rstd[token];
    }
    scale_ = 1.0f / static_cast<float>(shape.num_inputs);
    const int feature = static_cast<int>(threadIdx.x) * 4;
    static_assert(kMaxFeatures <= kBlockThreads * 4);
    if (feature >= shape.num_inputs) return;
    *reinterpret_cast<float4*>(shared.weight + feature) =
        *reinterpret_cast<const float4*>(norm.weight + feature);
  }

  // Turns dout into dx.  All threads call, after a barrier.
  __device__ void Run(TokenFragment<Split>& dout, const TokenFragment<Split>& around,
                      const LanePlace<Split>& lane, int num_chunks, Memory& shared) const {
    const bool shares = lane.t == 0 && lane.output_part == 0;
    const float2 low = RowSums(dout.low, x_.low, 0, lane, num_chunks, shared);
    const float2 high = RowSums(dout.high, x_.high, 1, lane, num_chunks, shared);
    if (shares) {
      shared.sums[lane.g][lane.input_part] = low;
      shared.sums[lane.g + 8][lane.input_part] = high;
    }
    __syncthreads();
    Finish(dout.low, x_.low, around.low, 0, lane, num_chunks, shared);
    Finish(dout.high, x_.high, around.high, 1, lane, num_chunks, shared);
  }

 private:
  using Row = uint32_t[Split::kChunks][4];

  __device__ static float Element(const uint32_t (&packed)[4], int i) {
    return ToFloat(reinterpret_cast<const T*>(packed)[i]);
  }
  __device__ static void LoadWeight(float (&weight)[kLaneElements], int chunk,
                                    const LanePlace<Split>& lane, const Memory& shared) {
    LoadVector(shared.weight + lane.FirstInput() + chunk * lane.kChunkStride, weight);
  }
  __device__ float Normalised(const Row& x, int chunk, int i, int half) const {
    return (Element(x[chunk], i) - mean_[half]) * rstd_[half];
  }

  // Over the quad's part of a row.
  __device__ float2 RowSums(const Row& dout, const Row& x, int half, const LanePlace<Split>& lane,
                            int num_chunks, const Memory& shared) const {
    float2 sums = {0, 0};
#pragma unroll
    for (int chunk = 0; chunk < Split::kChunks; ++chunk) {
      if (chunk >= num_chunks) break;
      float weight[kLaneElements];
      LoadWeight(weight, chunk, lane, shared);
#pragma unroll
      for (int i = 0; i < kLaneElements; ++i) {
        const float g = Element(dout[chunk], i) * weight[i];
        sums.x += g;
        sums.y = fmaf(g, Normalised(x, chunk, i, half), sums.y);
      }
    }
    return {GroupSum<4>(sums.x), GroupSum<4>(sums.y)};
  }

  __device__ void Finish(Row& dout, const Row& x, const Row& around, int half,
                         const LanePlace<Split>& lane, int num_chunks, const Memory& shared) const {
    float2 average = {0, 0};
#pragma unroll
    for (int part = 0; part < Split::kInputParts; ++part) {
      const float2 sums = shared.sums[lane.g + 8 * half][part];
      average.x += sums.x;
      average.y += sums.y;
    }
    average.x *= scale_;
    average.y *= scale_;
#pragma unroll
    for (int chunk = 0; chunk < Split::kChunks; ++chunk) {
      if (chunk >= num_chunks) break;
      float weight[kLaneElements];
      LoadWeight(weight, chunk, lane, shared);
      const auto gradient = [&](int i) {
        const float g = Element(dout[chunk], i) * weight[i];
        const float through = g - average.x - Normalised(x, chunk, i, half) * average.y;
        return fmaf(rstd_[half], through, Element(around[chunk], i));
      };
      uint32_t packed[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) packed[i] = Pack<T>(gradient(2 * i), gradient(2 * i + 1));
#pragma unroll
      for (int i = 0; i < 4; ++i) dout[chunk][i] = packed[i];
    }
  }

  TokenFragment<Split> x_;
  float mean_[2];
  float rstd_[2];
  float scale_;
};

}  // namespace sluice::cuda
