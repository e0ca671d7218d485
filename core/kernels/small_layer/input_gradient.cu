// The kernels of input_gradient.h.

#include <algorithm>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/device/cuda/cuda_check.h"
#include "core/kernels/cuda/dependent_launch.cuh"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/small_layer/input_gradient.h"
#include "core/kernels/small_layer/norm_backward.cuh"
#include "core/kernels/small_layer/piggybacked_gradients.cuh"
#include "core/kernels/small_layer/small_product.cuh"

namespace sluice::cuda {

template <typename T, typename Split>
using InputGradientMemory = ProductMemory<Split, NormBackwardPrologue<T, Split>>;

// One block's part of dx.
template <typename T, typename Split, Prologue kPrologue>
class InputGradientTile {
 public:
  __device__ InputGradientTile(const InputGradient<T>& input, int index, unsigned char* memory)
      : in_(input),
        shape_{input.num_tokens, input.out_features, input.in_features},
        column_tile_(index % (input.in_features / Split::kColumns)),
        first_token_(index / (input.in_features / Split::kColumns) * kBlockTokens),
        shared_(*reinterpret_cast<InputGradientMemory<T, Split>*>(memory)) {}

  // Loads before the wait what the forward has written, and weights.
  __device__ void Run() {
    const LanePlace<Split> lane;
    WeightFragment<Split, WeightLayout::kInputsByOutputs> weights;
    weights.Load(in_.weight, shape_, lane,
                 first_column() + lane.output_part * Split::kOutputTiles * 8);
    uint32_t relu_out[Pairs::kPairsPerThread];
    LoadReluOut(relu_out);
    NormBackwardPrologue<T, Split> norm;
    if constexpr (kPrologue == Prologue::kNorm) {
      norm.Load(in_.norm, shape_, lane, first_token_, shared_.norm);
      __syncthreads();  // for its memory
    }
    WaitForPreviousKernels();
    TokenFragment<Split> dout;
    const int num_chunks = lane.NumChunks(shape_.num_inputs);
    if constexpr (kPrologue == Prologue::kNorm) {
      dout.Load(in_.norm.dout, shape_, lane, first_token_);
      TokenFragment<Split> around = {};
      if (in_.norm.residual_gradient != nullptr) {
        around.Load(in_.norm.residual_gradient, shape_, lane, first_token_);
      }
      norm.Run(dout, around, lane, num_chunks, shared_.norm);
      StoreNorm(dout, lane);
    } else {
      dout.Load(in_.dout, shape_, lane, first_token_);
    }
    MultiplyPart<T>(dout, weights, lane, num_chunks, shared_.partials);
    __syncthreads();
    Store(relu_out);
  }

 private:
  using Pairs = OutputPairs<Split>;

  __device__ int first_column() const { return column_tile_ * Split::kColumns; }
  __device__ int At(int i) const {
    return (first_token_ + Pairs::Row(i)) * in_.in_features + first_column() + Pairs::Column(i);
  }

  // Pairs of elements as they are; without a mask, ones that let everything pass.
  __device__ void LoadReluOut(uint32_t (&relu_out)[Pairs::kPairsPerThread]) const {
#pragma unroll
    for (int i = 0; i < Pairs::kPairsPerThread; ++i) {
      relu_out[i] = Pack<T>(1, 1);
      if (in_.relu_out == nullptr || !Pairs::Exists(i)) continue;
      if (first_token_ + Pairs::Row(i) >= in_.num_tokens) continue;
      relu_out[i] = *reinterpret_cast<const uint32_t*>(in_.relu_out + At(i));
    }
  }

  __device__ void Store(const uint32_t (&relu_out)[Pairs::kPairsPerThread]) const {
#pragma unroll
    for (int i = 0; i < Pairs::kPairsPerThread; ++i) {
      if (!Pairs::Exists(i) || first_token_ + Pairs::Row(i) >= in_.num_tokens) continue;
      float2 dx = Pairs::Sum(i, shared_.partials);
      const T* mask = reinterpret_cast<const T*>(&relu_out[i]);
      if (!(ToFloat(mask[0]) > 0)) dx.x = 0;
      if (!(ToFloat(mask[1]) > 0)) dx.y = 0;
      *reinterpret_cast<uint32_t*>(in_.dx + At(i)) = Pack<T>(dx.x, dx.y);
    }
  }

  // One block writes the gradient of the norm for each token.
  __device__ void StoreNorm(const TokenFragment<Split>& dx, const LanePlace<Split>& lane) const {
    const int num_writers = min(in_.in_features / Split::kColumns, kBlockTokens);
    StoreNormRow(dx.low, lane, lane.g, num_writers);
    StoreNormRow(dx.high, lane, lane.g + 8, num_writers);
  }
  __device__ void StoreNormRow(const uint32_t (&row)[Split::kChunks][4],
                               const LanePlace<Split>& lane, int index, int num_writers) const {
    const int token = first_token_ + index;
    if (index % num_writers != column_tile_ || lane.output_part != 0) return;
    if (token >= in_.num_tokens) return;
    T* to = in_.norm.dx + token * in_.out_features + lane.FirstInput();
    const int num_chunks = lane.NumChunks(shape_.num_inputs);
#pragma unroll
    for (int i = 0; i < Split::kChunks; ++i) {
      if (i >= num_chunks) break;
      *reinterpret_cast<uint4*>(to + i * lane.kChunkStride) =
          uint4{row[i][0], row[i][1], row[i][2], row[i][3]};
    }
  }

  const InputGradient<T>& in_;
  ProductShape shape_;
  int column_tile_;
  int first_token_;
  InputGradientMemory<T, Split>& shared_;
};

template <typename T, typename Split>
__host__ __device__ inline int NumInputGradientTiles(const InputGradient<T>& input) {
  return (input.num_tokens + kBlockTokens - 1) / kBlockTokens *
         (input.in_features / Split::kColumns);
}

template <typename T, typename Split, Prologue kPrologue>
__global__ void __launch_bounds__(kBlockThreads, Split::kChunks <= 2 ? 2 : 1)
    InputGradientKernel(const __grid_constant__ InputGradient<T> input,
                        const __grid_constant__ PiggybackedGradients<T> extra) {
  AllowNextKernel();
  extern __shared__ __align__(128) unsigned char memory[];
  const int num_tiles = NumInputGradientTiles<T, Split>(input);
  const int block = static_cast<int>(blockIdx.x);
  if (block < num_tiles) {
    InputGradientTile<T, Split, kPrologue>(input, block, memory).Run();
  } else {
    RunPiggybackedBlock(extra, block - num_tiles, memory);
  }
}

template <typename T, typename Split, Prologue kPrologue>
void LaunchInputGradientKernel(const InputGradient<T>& input, const PiggybackedGradients<T>& extra,
                               const ChainLaunch& launch) {
  const int shared_bytes = std::max(static_cast<int>(sizeof(InputGradientMemory<T, Split>)),
                                    PiggybackedSharedBytes(extra));
  const int num_blocks = NumInputGradientTiles<T, Split>(input) + NumPiggybackedBlocks(extra);
  LaunchOverlapped(InputGradientKernel<T, Split, kPrologue>,
                   {.grid = static_cast<unsigned>(num_blocks),
                    .block = kBlockThreads,
                    .shared_bytes = static_cast<size_t>(shared_bytes),
                    .start = launch.start},
                   launch.stream, input, extra);
  SLUICE_CUDA_CHECK_LAUNCH("InputGradient");
}

template <typename T, typename Split>
void LaunchSplit(const InputGradient<T>& input, const PiggybackedGradients<T>& extra,
                 const ChainLaunch& launch) {
  if (input.norm.dout == nullptr) {
    return LaunchInputGradientKernel<T, Split, Prologue::kNone>(input, extra, launch);
  }
  if constexpr (Split::kChunks <= 2) {
    LaunchInputGradientKernel<T, Split, Prologue::kNorm>(input, extra, launch);
  } else {
    SLUICE_CHECK(false);  // CanRunSmallNormLinearBackward
  }
}

// A kernel for more chunks than there are would hold their registers all the same, and keep the
// next kernel's blocks from starting beside it.
template <typename T, int kInputParts, int kOutputTiles>
void LaunchGradientTile(const InputGradient<T>& input, const PiggybackedGradients<T>& extra,
                        const ChainLaunch& launch) {
  const int64_t chunks = CeilDiv(input.out_features, kInputParts * kChunkSize);
  if (chunks <= 1) {
    return LaunchSplit<T, WarpSplit<kInputParts, kOutputTiles, 1>>(input, extra, launch);
  }
  if (chunks <= 2) {
    return LaunchSplit<T, WarpSplit<kInputParts, kOutputTiles, 2>>(input, extra, launch);
  }
  SLUICE_CHECK_LE(chunks, 4);  // CanRunSmallLinearBackward
  LaunchSplit<T, WarpSplit<kInputParts, kOutputTiles, 4>>(input, extra, launch);
}

// The widest tile that still gives every multiprocessor a block or so.
template <typename T>
void LaunchInputGradient(const InputGradient<T>& input, const PiggybackedGradients<T>& extra,
                         const ChainLaunch& launch) {
  constexpr int64_t kEnoughBlocks = 128;
  constexpr int kMaxWideFeatures = 512;  // of which 4 warps' registers hold a tile's weights
  const int64_t num_blocks_of_64 =
      CeilDiv(input.num_tokens, kBlockTokens) * (input.in_features / 64);
  if (num_blocks_of_64 >= kEnoughBlocks && input.out_features <= kMaxWideFeatures) {
    return LaunchGradientTile<T, 4, 4>(input, extra, launch);
  }
  if (2 * num_blocks_of_64 >= kEnoughBlocks) {
    return LaunchGradientTile<T, 8, 4>(input, extra, launch);
  }
  LaunchGradientTile<T, 8, 2>(input, extra, launch);
}

template void LaunchInputGradient<__nv_bfloat16>(const InputGradient<__nv_bfloat16>&,
                                                 const PiggybackedGradients<__nv_bfloat16>&,
                                                 const ChainLaunch&);
template void LaunchInputGradient<__half>(const InputGradient<__half>&,
                                          const PiggybackedGradients<__half>&, const ChainLaunch&);

}  // namespace sluice::cuda
