#include "core/kernels/causal_attention/causal_attention_cuda.h"

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/kernels/causal_attention/attention_params.h"
#include "core/kernels/causal_attention/attention_statistics.h"
#include "core/kernels/causal_attention/cudnn/cudnn_attention.h"
#include "core/kernels/causal_attention/fma/fma_attention.h"
#include "core/kernels/causal_attention/hopper/hopper_attention.h"
#include "core/kernels/causal_attention/hopper/hopper_head_dims.h"
#include "core/kernels/causal_attention/tile/tile_attention.h"
#include "core/kernels/cuda/element_types.h"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/small_layer/attention_forward.h"
#include "core/kernels/small_layer/small_layer_sizes.h"

namespace sluice::cuda {
namespace {

using Implementation = CausalAttentionImplementation;

int TileSharedBytesOf(DType dtype, int64_t head_dim) {
  const int columns = static_cast<int>(head_dim);
  if (dtype == DType::kFloat32) return FmaSharedBytes(columns);
  return TileSharedBytes<__nv_bfloat16>(columns);  // as __half
}

int64_t PaddedSliceLen(int64_t slice_len) { return RoundUp(slice_len, kStatisticsPadding); }

// Checks qkv, out and lse, which forward and backward have in common.
AttentionShape CheckedShape(const Tensor& qkv, int64_t prefix_len, const Tensor& out,
                            const Tensor& lse) {
  const int64_t slice_len = out.num_rows();
  const int64_t batch_size = out.shape()[1];
  const int64_t num_heads = out.shape()[2];
  const int64_t head_dim = out.shape()[3];
  SLUICE_CHECK_GE(prefix_len, 0);
  SLUICE_CHECK_GE(qkv.num_rows(), prefix_len + slice_len);
  SLUICE_CHECK_EQ(qkv.shape(), (Shape{qkv.num_rows(), batch_size, num_heads, 3, head_dim}));
  SLUICE_CHECK_EQ(out.dtype(), qkv.dtype());
  SLUICE_CHECK_EQ(lse.shape(), (Shape{slice_len, batch_size, num_heads}));
  SLUICE_CHECK_EQ(lse.dtype(), DType::kFloat32);
  // Grids are one-dimensional, a block per tile and pair.
  SLUICE_CHECK_LT((prefix_len + slice_len) * batch_size * num_heads, int64_t{1} << 31);
  return {.prefix_len = static_cast<int>(prefix_len),
          .slice_len = static_cast<int>(slice_len),
          .num_keys = static_cast<int>(prefix_len + slice_len),
          .num_pairs = static_cast<int>(batch_size * num_heads),
          .head_dim = static_cast<int>(head_dim)};
}

AttentionBackwardParams CheckedParams(const CausalAttentionBackwardArgs& args, void* workspace) {
  const AttentionShape shape = CheckedShape(args.qkv, args.prefix_len, args.out, args.lse);
  SLUICE_CHECK_EQ(args.dout.shape(), args.out.shape());
  SLUICE_CHECK_EQ(args.dout.dtype(), args.out.dtype());
  SLUICE_CHECK_EQ(args.dqkv.shape(), args.qkv.shape().WithRows(args.slice_len()));
  SLUICE_CHECK_EQ(args.dqkv.dtype(), args.qkv.dtype());
  if (args.write_mode == WriteMode::kAccumulate || shape.prefix_len > 0) {
    const Tensor& accumulator = args.dkv_accumulator;
    SLUICE_CHECK(accumulator.present());
    SLUICE_CHECK_GE(accumulator.num_rows(), int64_t{shape.num_keys});
    SLUICE_CHECK_EQ(accumulator.shape(), (Shape{accumulator.num_rows(), args.out.shape()[1],
                                                args.out.shape()[2], 2, args.out.shape()[3]}));
    SLUICE_CHECK_EQ(accumulator.dtype(), DType::kFloat32);
  }
  const int64_t padded_slice_len = PaddedSliceLen(shape.slice_len);
  auto* lse2 = static_cast<float*>(workspace);
  float* delta = lse2 + padded_slice_len * shape.num_pairs;
  return {.shape = shape,
          .qkv = args.qkv.data(),
          .out = args.out.data(),
          .lse = static_cast<const float*>(args.lse.data()),
          .dout = args.dout.data(),
          .dqkv = args.dqkv.data(),
          .dkv_accumulator = static_cast<float*>(args.dkv_accumulator.data()),
          .write_mode = args.write_mode,
          .lse2 = lse2,
          .delta = delta,
          .padded_slice_len = static_cast<int>(padded_slice_len),
          .turns = reinterpret_cast<unsigned*>(delta + padded_slice_len * shape.num_pairs)};
}

template <typename T>
void RunBackward(const AttentionBackwardParams& params, Implementation implementation,
                 cudaStream_t stream) {
  LaunchAttentionStatistics<T>(params, stream);
  if constexpr (std::is_same_v<T, float>) {
    LaunchFmaBackward(params, stream);
  } else if (implementation == Implementation::kHopper) {
    LaunchHopperBackward<T>(params, stream);
  } else {
    LaunchTileBackward<T>(params, stream);
  }
}

template <typename T>
void RunForward(const AttentionForwardParams& params, Implementation implementation,
                cudaStream_t stream) {
  if constexpr (std::is_same_v<T, float>) {
    LaunchFmaForward(params, stream);
  } else if (implementation == Implementation::kHopper) {
    LaunchHopperForward<T>(params, stream);
  } else if (implementation == Implementation::kSmall) {
    LaunchSmallAttentionForward<T>(params, stream);
  } else {
    LaunchTileForward<T>(params, stream);
  }
}

}  // namespace

Implementation DefaultCausalAttention(DType dtype, int64_t head_dim) {
  return FindCausalAttentionError(Implementation::kHopper, dtype, head_dim).has_value()
             ? Implementation::kTile
             : Implementation::kHopper;
}

std::optional<std::string> FindCausalAttentionError(Implementation implementation, DType dtype,
                                                    int64_t head_dim) {
  if (dtype == DType::kFloat64) {
    return "causal attention on cuda has no f64; valid: f32, tf32, bf16, fp16";
  }
  const int capability = ComputeCapability();
  if (implementation == Implementation::kHopper) {
    if (capability != 90) {
      return fmt::format("hopper attention needs a GPU of compute capability 9.0, not {}.{}",
                         capability / 10, capability % 10);
    }
    if (dtype == DType::kFloat32) return "hopper attention has no f32; valid: bf16, fp16";
    if (!HopperSupportsHeadDim(head_dim)) {
      return fmt::format("hopper attention has no head_dim {}; valid: 64, 80, 96, 128", head_dim);
    }
    return std::nullopt;
  }
  if (implementation == Implementation::kSmall) {
    if (dtype == DType::kFloat32) return "small attention has no f32; valid: bf16, fp16";
    if (!CanRunSmallAttention({.head_dim = head_dim})) {
      return fmt::format("small attention has no head_dim {}; valid: 64, 128", head_dim);
    }
  }
  // Machine code for sm_80 runs on 8.x, that for sm_90a on 9.0.
  if (capability < 80 || capability > 90) {
    return fmt::format(
        "causal attention is built for GPUs of compute capability 8.0 to 9.0, not {}.{}",
        capability / 10, capability % 10);
  }
  if (implementation == Implementation::kCudnn) return FindCudnnAttentionError(dtype, head_dim);
  if (head_dim <= 0 || head_dim > 128 || head_dim % 8 != 0) {
    return fmt::format(
        "causal attention on cuda has no head_dim {}; valid: multiples of 8 up to 128", head_dim);
  }
  const int needed = TileSharedBytesOf(dtype, head_dim);
  const int there = DeviceAttribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  if (needed > there) {
    return fmt::format(
        "causal attention in {} with head_dim {} needs {} bytes of shared memory a block, and this "
        "GPU has {}",
        Name(dtype), head_dim, needed, there);
  }
  return std::nullopt;
}

int64_t CausalAttentionWorkspaceBytes(Implementation implementation,
                                      const CausalAttentionLimits& limits) {
  if (implementation == Implementation::kCudnn) {
    return CudnnAttentionWorkspaceBytes(
        {.slice_len = static_cast<int>(limits.max_slice_len),
         .num_keys = static_cast<int>(limits.max_seq_len),
         .num_pairs = static_cast<int>(limits.max_batch_size * limits.num_heads),
         .head_dim = static_cast<int>(limits.head_dim)});
  }
  const int64_t num_rows =
      PaddedSliceLen(limits.max_slice_len) * limits.max_batch_size * limits.num_heads;
  const int64_t num_turns = 1 + num_rows / kAttentionTile;
  return 2 * num_rows * static_cast<int64_t>(sizeof(float)) +
         num_turns * static_cast<int64_t>(sizeof(unsigned));
}

void CausalAttentionForward(const CausalAttentionForwardArgs& args, Implementation implementation,
                            void* workspace, cudaStream_t stream) {
  const AttentionForwardParams params = {
      .shape = CheckedShape(args.qkv, args.prefix_len, args.out, args.lse),
      .qkv = args.qkv.data(),
      .out = args.out.data(),
      .lse = static_cast<float*>(args.lse.data())};
  if (params.shape.slice_len == 0 || params.shape.num_pairs == 0) return;
  if (implementation == Implementation::kCudnn) {
    return LaunchCudnnForward(params, args.qkv.dtype(), workspace, stream);
  }
  DispatchDType(args.qkv.dtype(), [&](auto element) {
    RunForward<typename decltype(element)::type>(params, implementation, stream);
  });
}

void CausalAttentionBackward(const CausalAttentionBackwardArgs& args, Implementation implementation,
                             void* workspace, cudaStream_t stream) {
  const AttentionBackwardParams params = CheckedParams(args, workspace);
  if (params.shape.slice_len == 0 || params.shape.num_pairs == 0) return;
  if (implementation == Implementation::kCudnn) {
    return LaunchCudnnBackward(params, args.qkv.dtype(), workspace, stream);
  }
  DispatchDType(args.qkv.dtype(), [&](auto element) {
    RunBackward<typename decltype(element)::type>(params, implementation, stream);
  });
}

}  // namespace sluice::cuda
