#include "core/kernels/cuda_kernels.h"

#include <algorithm>
#include <optional>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/kernels/causal_attention/causal_attention_cuda.h"
#include "core/kernels/cuda/column_sums.h"
#include "core/kernels/layer_norm/layer_norm_cuda.h"
#include "core/kernels/loss/loss_cuda.h"
#include "core/kernels/residual/residual_cuda.h"

namespace sluice {
namespace {

constexpr int64_t kAlignmentBytes = 256;  // of scratch memory

int64_t LayerNormScratchBytes(const KernelLimits& limits) {
  return cuda::LayerNormScratchSize(limits.hidden_size) * SizeOf(DType::kFloat32);
}

int64_t ReluSumsBytes(const KernelLimits& limits) {
  return cuda::ColumnSumsScratchSize(limits.max_features) * SizeOf(DType::kFloat32);
}

// The most that one operation needs.
int64_t ScratchBytes(const KernelLimits& limits, CausalAttentionImplementation attention) {
  const int64_t attention_bytes = cuda::CausalAttentionWorkspaceBytes(
      attention, {.max_slice_len = std::min(limits.max_seq_len, limits.max_tokens),
                  .max_seq_len = limits.max_seq_len,
                  .max_batch_size = limits.max_batch_size,
                  .num_heads = limits.num_heads,
                  .head_dim = limits.head_dim});
  const int64_t bytes =
      std::max({cuda::LinearScratchBytes(limits.max_features), LayerNormScratchBytes(limits),
                cuda::LossScratchBytes(), attention_bytes});
  return RoundUp(bytes, kAlignmentBytes);
}

}  // namespace

int64_t CudaWorkspaceBytes(std::optional<CausalAttentionImplementation> attention,
                           const KernelLimits& limits) {
  // The implementations that a GPU may choose of itself need the same.
  return ScratchBytes(limits, attention.value_or(CausalAttentionImplementation::kTile)) +
         cuda::LinearScratchBytes(limits.max_features) + ReluSumsBytes(limits) +
         kNumNormSlots * LayerNormScratchBytes(limits);
}

CudaKernels::CudaKernels(CudaDevice& device, CudaStream& stream, Precision precision,
                         std::optional<CausalAttentionImplementation> attention)
    : device_(device),
      stream_(stream),
      precision_(precision),
      attention_(attention),
      lane_stream_(device.MakeCudaStream()),
      matmul_(device, {&stream, lane_stream_.get()}, precision),
      lane_({.main = stream, .side = *lane_stream_}, matmul_) {
  SLUICE_CHECK(precision != Precision::kFloat64);
}

void CudaKernels::Reserve(const KernelLimits& limits) {
  const CausalAttentionImplementation attention = CheckedAttention(limits.head_dim);
  const auto allocate = [&](Buffer& buffer, int64_t size_bytes, std::string_view what) {
    buffer = Buffer();
    buffer = device_.Allocate(size_bytes, what);
    return buffer.data();
  };
  const int64_t scratch_bytes = ScratchBytes(limits, attention);
  cuda::CudaGradientLane::Memory memory;
  memory.main = allocate(scratch_, scratch_bytes + cuda::LinearScratchBytes(limits.max_features),
                         "the scratch memory of the kernels");
  memory.side = static_cast<char*>(memory.main) + scratch_bytes;
  matmul_.set_flush_memory({.data = scratch_.data(), .size_bytes = scratch_.size_bytes()});
  memory.relu_sums = static_cast<float*>(
      allocate(relu_sums_, ReluSumsBytes(limits), "the scratch memory of ReLU gradients"));
  for (int slot = 0; slot < kNumNormSlots; ++slot) {
    memory.norm_sums[slot] = static_cast<float*>(allocate(
        norm_sums_[slot], LayerNormScratchBytes(limits), "the scratch memory of layer norms"));
  }
  lane_.set_memory(memory);
}

std::string_view CudaKernels::AttentionName(int64_t head_dim) const {
  return Name(AttentionFor(head_dim));
}

CausalAttentionImplementation CudaKernels::AttentionFor(int64_t head_dim) const {
  if (attention_) return *attention_;
  return cuda::DefaultCausalAttention(StorageDType(precision_), head_dim);
}

CausalAttentionImplementation CudaKernels::CheckedAttention(int64_t head_dim) const {
  const CausalAttentionImplementation attention = AttentionFor(head_dim);
  const std::optional<std::string> error =
      cuda::FindCausalAttentionError(attention, StorageDType(precision_), head_dim);
  if (error) throw Error(*error);
  return attention;
}

void CudaKernels::LinearForward(const LinearForwardArgs& args) {
  cuda::LinearForward(args, linear_context());
}

void CudaKernels::LinearBackwardInput(const LinearBackwardInputArgs& args) {
  cuda::LinearBackwardInput(args, linear_context());
}

void CudaKernels::LinearBackwardWeight(const LinearBackwardWeightArgs& args) {
  cuda::LinearBackwardWeight(args, linear_context());
}

void CudaKernels::LayerNormForward(const LayerNormForwardArgs& args) {
  cuda::LayerNormForward(args, stream_.handle());
}

void CudaKernels::LayerNormBackward(const LayerNormBackwardArgs& args) {
  cuda::LayerNormBackward(args, static_cast<float*>(scratch()), stream_.handle());
}

void CudaKernels::CausalAttentionForward(const CausalAttentionForwardArgs& args) {
  cuda::CausalAttentionForward(args, AttentionFor(args.out.shape()[3]), scratch(),
                               stream_.handle());
}

void CudaKernels::CausalAttentionBackward(const CausalAttentionBackwardArgs& args) {
  cuda::CausalAttentionBackward(args, AttentionFor(args.qkv.shape()[4]), scratch(),
                                stream_.handle());
}

void CudaKernels::AddBiasResidual(const AddBiasResidualArgs& args) {
  cuda::AddBiasResidual(args, stream_.handle());
}

void CudaKernels::LossForward(const LossForwardArgs& args) {
  cuda::LossForward(args, scratch(), stream_.handle());
}

void CudaKernels::LossBackward(const LossBackwardArgs& args) {
  cuda::LossBackward(args, stream_.handle());
}

cuda::LinearContext CudaKernels::linear_context() {
  return {.matmul = matmul_, .stream = stream_, .scratch = scratch()};
}

void* CudaKernels::scratch() {
  SLUICE_CHECK(scratch_.data() != nullptr);  // call Reserve first
  return scratch_.data();
}

}  // namespace sluice
