#include "core/kernels/cuda_kernels.h"

#include <algorithm>
#include <optional>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/kernels/causal_attention/causal_attention_cuda.h"
#include "core/kernels/layer_norm/layer_norm_cuda.h"
#include "core/kernels/loss/loss_cuda.h"
#include "core/kernels/residual/residual_cuda.h"

namespace sluice {
namespace {

cuda::CausalAttentionImplementation AttentionFor(const Tensor& qkv) {
  return cuda::DefaultCausalAttention(qkv.dtype(), qkv.shape()[4]);
}

}  // namespace

CudaKernels::CudaKernels(CudaDevice& device, CudaStream& stream, Precision precision)
    : device_(device), stream_(stream), precision_(precision), matmul_(device, stream, precision) {
  SLUICE_CHECK(precision != Precision::kFloat64);
}

int64_t CudaKernels::WorkspaceBytes(const KernelLimits& limits) const {
  const int64_t layer_norm_bytes =
      cuda::LayerNormScratchSize(limits.hidden_size) * SizeOf(DType::kFloat32);
  const int64_t attention_bytes = cuda::CausalAttentionWorkspaceBytes(
      {.max_slice_len = std::min(limits.max_seq_len, limits.max_tokens),
       .max_batch_size = limits.max_batch_size,
       .num_heads = limits.num_heads});
  return std::max({cuda::LinearScratchBytes(limits.max_features), layer_norm_bytes,
                   cuda::LossScratchBytes(), attention_bytes});
}

void CudaKernels::Reserve(const KernelLimits& limits) {
  const DType dtype = StorageDType(precision_);
  const std::optional<std::string> error = cuda::FindCausalAttentionError(
      cuda::DefaultCausalAttention(dtype, limits.head_dim), dtype, limits.head_dim);
  if (error) throw Error(*error);
  scratch_ = Buffer();
  scratch_ = device_.Allocate(WorkspaceBytes(limits), "the scratch memory of the kernels");
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
  cuda::CausalAttentionForward(args, AttentionFor(args.qkv), stream_.handle());
}

void CudaKernels::CausalAttentionBackward(const CausalAttentionBackwardArgs& args) {
  cuda::CausalAttentionBackward(args, AttentionFor(args.qkv), scratch(), stream_.handle());
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
