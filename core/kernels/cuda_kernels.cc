#include "core/kernels/cuda_kernels.h"

#include <fmt/format.h>

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
#include "core/kernels/small_linear/small_linear.h"

namespace sluice {
namespace {

constexpr int64_t kAlignmentBytes = 256;  // of scratch memory

// Of a ReLU's gradient: below, it lies in the caches, and another pass over it costs little.
constexpr int64_t kMinMaskedSumElements = int64_t{1} << 20;

bool TakesSmallLinear(const LinearForwardArgs& args) {
  const int64_t num_inputs = args.weight.row_size();
  return cuda::PrefersSmallLinear({.num_tokens = args.x.num_elements() / num_inputs,
                                   .num_inputs = num_inputs,
                                   .num_outputs = args.weight.num_rows()}) &&
         cuda::CanRunSmallLinear(args, cuda::ChooseSmallLinearTile(args));
}

bool TakesSmallNormLinear(const LinearForwardArgs& linear) {
  return TakesSmallLinear(linear) &&
         cuda::CanRunSmallNormLinear(linear, cuda::ChooseSmallNormLinearTile(linear));
}

int64_t LayerNormScratchBytes(const KernelLimits& limits) {
  return cuda::LayerNormScratchSize(limits.hidden_size) * SizeOf(DType::kFloat32);
}

int64_t ReluScratchBytes(const KernelLimits& limits) {
  return cuda::ColumnSumsScratchSize(limits.max_features) * SizeOf(DType::kFloat32);
}

// Of any one operation.
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

CudaKernels::CudaKernels(CudaDevice& device, CudaStream& stream, Precision precision,
                         std::optional<CausalAttentionImplementation> attention)
    : device_(device),
      stream_(stream),
      precision_(precision),
      attention_(attention),
      weight_stream_(device.MakeCudaStream()),
      matmul_(device, {&stream, weight_stream_.get()}, precision),
      small_backward_(device, stream) {
  SLUICE_CHECK(precision != Precision::kFloat64);
}

int64_t CudaKernels::WorkspaceBytes(const KernelLimits& limits) const {
  return ScratchBytes(limits, CheckedAttention(limits.head_dim)) +
         cuda::LinearScratchBytes(limits.max_features) + ReluScratchBytes(limits) +
         2 * LayerNormScratchBytes(limits) +
         cuda::SmallBackward::WorkspaceBytes(limits.hidden_size);
}

void CudaKernels::Reserve(const KernelLimits& limits) {
  const CausalAttentionImplementation attention = CheckedAttention(limits.head_dim);
  const auto allocate = [&](Buffer& buffer, int64_t size_bytes, std::string_view what) {
    buffer = Buffer();
    buffer = device_.Allocate(size_bytes, what);
  };
  const int64_t scratch_bytes = ScratchBytes(limits, attention);
  allocate(scratch_, scratch_bytes + cuda::LinearScratchBytes(limits.max_features),
           "the scratch memory of the kernels");
  weight_scratch_ = static_cast<char*>(scratch_.data()) + scratch_bytes;
  matmul_.set_flush_memory({.data = scratch_.data(), .size_bytes = scratch_.size_bytes()});
  allocate(relu_scratch_, ReluScratchBytes(limits), "the scratch memory of ReLU gradients");
  for (Buffer& buffer : norm_scratch_) {
    allocate(buffer, LayerNormScratchBytes(limits), "the scratch memory of layer norms");
  }
  small_backward_.Reserve(limits.hidden_size);
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

bool CudaKernels::TakesSmallAttention(int64_t head_dim, const cuda::AttentionSizes& sizes) const {
  return !attention_ && cuda::PrefersSmallAttention(sizes) &&
         !cuda::FindCausalAttentionError(CausalAttentionImplementation::kSmall,
                                         StorageDType(precision_), head_dim);
}

std::string CudaKernels::SmallKernelNames(const LayerSizes& sizes) const {
  const DType dtype = StorageDType(precision_);
  const int64_t num_tokens = sizes.slice_len * sizes.batch_size;
  const int64_t attention_size = sizes.num_heads * sizes.head_dim;
  std::string names;
  const auto add = [&](std::string_view name, bool is_small) {
    if (is_small) names += fmt::format("{}{}", names.empty() ? "" : "+", name);
  };
  const auto linear = [&](int64_t num_inputs, int64_t num_outputs) {
    return LinearForwardArgs{.x = Tensor(nullptr, dtype, {num_tokens, num_inputs}),
                             .weight = Tensor(nullptr, dtype, {num_outputs, num_inputs}),
                             .out = Tensor(nullptr, dtype, {num_tokens, num_outputs})};
  };
  add("norm_in_proj", TakesSmallNormLinear(linear(sizes.hidden_size, 3 * attention_size)));
  add("attention",
      TakesSmallAttention(sizes.head_dim, {.num_keys = sizes.prefix_len + sizes.slice_len,
                                           .num_queries = num_tokens * sizes.num_heads}));
  add("out_proj", TakesSmallLinear(linear(attention_size, sizes.hidden_size)));
  add("norm_fc1", TakesSmallNormLinear(linear(sizes.hidden_size, sizes.ffn_hidden_size)));
  add("fc2", TakesSmallLinear(linear(sizes.ffn_hidden_size, sizes.hidden_size)));
  const auto gradient = [&](int64_t num_inputs, int64_t num_outputs) {
    return LinearBackwardInputArgs{.dout = Tensor(nullptr, dtype, {num_tokens, num_outputs}),
                                   .weight = Tensor(nullptr, dtype, {num_outputs, num_inputs})};
  };
  const Shape heads = {sizes.slice_len, sizes.batch_size, sizes.num_heads, sizes.head_dim};
  add("fc2_dx", small_backward_.TakesInput(gradient(sizes.ffn_hidden_size, sizes.hidden_size)));
  add("norm_fc1_dx",
      small_backward_.TakesInput(gradient(sizes.hidden_size, sizes.ffn_hidden_size), {}));
  add("out_proj_dx", small_backward_.TakesInput(gradient(attention_size, sizes.hidden_size)));
  add("attention_dx",
      !attention_ && small_backward_.TakesAttention({.qkv = Tensor(nullptr, dtype, heads),
                                                     .prefix_len = sizes.prefix_len,
                                                     .out = Tensor(nullptr, dtype, heads)}));
  add("norm_in_proj_dx",
      small_backward_.TakesInput(gradient(sizes.hidden_size, 3 * attention_size), {}));
  return names.empty() ? "none" : names;
}

void CudaKernels::LinearForward(const LinearForwardArgs& args) {
  if (!TakesSmallLinear(args)) return cuda::LinearForward(args, linear_context());
  cuda::SmallLinearForward(args, cuda::ChooseSmallLinearTile(args), stream_.handle());
}

void CudaKernels::NormLinearForward(const LayerNormForwardArgs& norm,
                                    const LinearForwardArgs& linear) {
  if (!TakesSmallNormLinear(linear)) return Kernels::NormLinearForward(norm, linear);
  cuda::SmallNormLinearForward(norm, linear, cuda::ChooseSmallNormLinearTile(linear),
                               stream_.handle());
}

void CudaKernels::LinearBackwardInput(const LinearBackwardInputArgs& args) {
  if (UsesSmallBackward() && small_backward_.TakesInput(args)) {
    return small_backward_.InputGradient(args);
  }
  small_backward_.FinishEarlier();
  cuda::LinearBackwardInput(args, linear_context());
}

void CudaKernels::LinearNormBackwardInput(const LinearBackwardInputArgs& linear,
                                          const LayerNormBackwardArgs& norm) {
  if (UsesSmallBackward() && small_backward_.TakesInput(linear, norm)) {
    return small_backward_.InputGradient(linear, norm);
  }
  Kernels::LinearNormBackwardInput(linear, norm);
}

void CudaKernels::LinearBackwardWeight(const LinearBackwardWeightArgs& args) {
  if (overlap_ == Overlap::kOff) return cuda::LinearBackwardWeight(args, linear_context());
  if (small_backward_.TakesWeight(args)) return small_backward_.WeightGradient(args);
  SLUICE_CHECK(weight_scratch_ != nullptr);  // call Reserve first
  small_backward_.FinishEarlier();
  cuda::LinearBackwardWeight(
      args, {.matmul = matmul_, .stream = ForkWeightStream(), .scratch = weight_scratch_});
}

void CudaKernels::LinearBackwardThroughRelu(const LinearBackwardInputArgs& behind,
                                            const LinearBackwardWeightArgs& in_front) {
  const bool is_worthwhile = behind.dx.num_elements() >= kMinMaskedSumElements;
  if (overlap_ == Overlap::kOff || !is_worthwhile || !in_front.dbias.present()) {
    return Kernels::LinearBackwardThroughRelu(behind, in_front);
  }
  auto* scratch = static_cast<float*>(relu_scratch_.data());
  SLUICE_CHECK(scratch != nullptr);  // call Reserve first
  small_backward_.FinishEarlier();
  const cuda::ColumnPartials partials =
      cuda::LinearBackwardInputAndSums(behind, scratch, linear_context());
  cuda::SumPartials(partials, {.first = in_front.dbias, .second = {}}, in_front.write_mode,
                    ForkWeightStream().handle());
  LinearBackwardWeightArgs without_bias = in_front;
  without_bias.dbias = Tensor();
  LinearBackwardWeight(without_bias);
}

CudaStream& CudaKernels::ForkWeightStream() {
  overlap_ = Overlap::kOnAndForked;
  weight_stream_->WaitFor(stream_);
  return *weight_stream_;
}

void CudaKernels::BeginWeightOverlap() {
  SLUICE_CHECK(overlap_ == Overlap::kOff);
  overlap_ = Overlap::kOn;
  num_overlapped_norms_ = 0;
}

void CudaKernels::EndWeightOverlap() {
  SLUICE_CHECK(overlap_ != Overlap::kOff);
  if (overlap_ == Overlap::kOnAndForked) stream_.WaitFor(*weight_stream_);
  overlap_ = Overlap::kOff;
  small_backward_.EndLayer();
}

void CudaKernels::FinishGradients() {
  SLUICE_CHECK(overlap_ == Overlap::kOff);
  small_backward_.Finish();
}

void CudaKernels::LayerNormForward(const LayerNormForwardArgs& args) {
  cuda::LayerNormForward(args, stream_.handle());
}

void CudaKernels::LayerNormBackward(const LayerNormBackwardArgs& args) {
  if (overlap_ == Overlap::kOff) {
    return cuda::LayerNormBackward(args, static_cast<float*>(scratch()), stream_.handle());
  }
  small_backward_.FinishEarlier();
  SLUICE_CHECK_LT(num_overlapped_norms_, 2);
  auto* partials = static_cast<float*>(norm_scratch_[num_overlapped_norms_++].data());
  SLUICE_CHECK(partials != nullptr);  // call Reserve first
  cuda::LayerNormBackwardRows(args, partials, stream_.handle());
  cuda::LayerNormBackwardSums(args, partials, ForkWeightStream().handle());
}

void CudaKernels::CausalAttentionForward(const CausalAttentionForwardArgs& args) {
  const Shape& out = args.out.shape();
  const bool is_small = TakesSmallAttention(
      out[3], {.num_keys = args.prefix_len + out[0], .num_queries = out[0] * out[1] * out[2]});
  cuda::CausalAttentionForward(
      args, is_small ? CausalAttentionImplementation::kSmall : AttentionFor(out[3]), scratch(),
      stream_.handle());
}

void CudaKernels::CausalAttentionBackward(const CausalAttentionBackwardArgs& args) {
  if (UsesSmallBackward() && !attention_ && small_backward_.TakesAttention(args)) {
    return small_backward_.AttentionGradient(args);
  }
  // No gradient of this layer rides past it but that of in_proj: the next layer writes the others'
  // operands, and only its attention would take them.
  small_backward_.Finish();
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
