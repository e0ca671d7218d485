#include "core/kernels/small_backward/small_backward.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/kernels/cuda/element_types.h"
#include "core/kernels/cuda/vector_access.h"
#include "core/kernels/layer_norm/layer_norm_cuda.h"
#include "core/kernels/small_backward/attention_gradient.h"

namespace sluice::cuda {
namespace {

constexpr int kFeatureMultiple = 64;

// Chosen for layers whose launches cost more than their arithmetic; not measured against the other
// kernels above hidden size 256 and 128 tokens.
constexpr int64_t kMaxTokens = 512;
constexpr int64_t kMaxFeatures = kMaxGradientFeatures;

// The kernels are for one compute capability.
constexpr int kMajor = 9;
constexpr int kMinor = 0;

bool IsSmall(int64_t num_tokens, int64_t out_features, int64_t in_features) {
  return num_tokens > 0 && num_tokens <= kMaxTokens && out_features <= kMaxFeatures &&
         in_features <= kMaxFeatures && out_features % kFeatureMultiple == 0 &&
         in_features % kFeatureMultiple == 0;
}

ParameterGradient GradientOf(const Tensor& tensor, WriteMode write_mode) {
  return {
      .data = tensor.data(),
      .type = tensor.dtype() == DType::kFloat32 ? GradientType::kFloat32 : GradientType::kElement,
      .write_mode = write_mode};
}

template <typename T>
WeightGradient<T> RawWeightGradient(const LinearBackwardWeightArgs& args) {
  const int64_t out_features = args.dweight.shape()[0];
  return {.dout = args.dout.Data<T>(),
          .x = args.x.Data<T>(),
          .dweight = GradientOf(args.dweight, args.write_mode),
          .dbias = GradientOf(args.dbias, args.write_mode),
          .num_tokens = static_cast<int>(args.dout.num_elements() / out_features),
          .out_features = static_cast<int>(out_features),
          .in_features = static_cast<int>(args.dweight.shape()[1])};
}

template <typename T>
InputGradient<T> RawInputGradient(const LinearBackwardInputArgs& args) {
  const int64_t out_features = args.weight.shape()[0];
  return {.dout = args.dout.Data<T>(),
          .norm = {},
          .weight = args.weight.Data<T>(),
          .relu_out = args.relu_out.present() ? args.relu_out.Data<T>() : nullptr,
          .dx = args.dx.Data<T>(),
          .num_tokens = static_cast<int>(args.dout.num_elements() / out_features),
          .out_features = static_cast<int>(out_features),
          .in_features = static_cast<int>(args.weight.shape()[1])};
}

template <typename T>
NormBackward<T> RawNormBackward(const LayerNormBackwardArgs& args) {
  return {.dout = args.dout.Data<T>(),
          .x = args.x.Data<T>(),
          .weight = args.weight.Data<float>(),
          .mean = args.mean.Data<float>(),
          .rstd = args.rstd.Data<float>(),
          .residual_gradient =
              args.residual_gradient.present() ? args.residual_gradient.Data<T>() : nullptr,
          .dx = args.dx.Data<T>()};
}

template <typename T>
NormSums<T> RawNormSums(const LayerNormBackwardArgs& args) {
  return {.dout = args.dout.Data<T>(),
          .x = args.x.Data<T>(),
          .mean = args.mean.Data<float>(),
          .rstd = args.rstd.Data<float>(),
          .dweight = args.dweight.Data<float>(),
          .dbias = args.dbias.Data<float>(),
          .write_mode = args.write_mode,
          .num_tokens = static_cast<int>(args.mean.num_elements()),
          .hidden_size = static_cast<int>(args.weight.num_elements())};
}

AttentionShape ShapeOf(const CausalAttentionBackwardArgs& args) {
  const int64_t slice_len = args.slice_len();
  return {.prefix_len = static_cast<int>(args.prefix_len),
          .slice_len = static_cast<int>(slice_len),
          .num_keys = static_cast<int>(args.prefix_len + slice_len),
          .num_pairs = static_cast<int>(args.out.shape()[1] * args.out.shape()[2]),
          .head_dim = static_cast<int>(args.out.shape()[3])};
}

}  // namespace

SmallBackward::SmallBackward(CudaDevice& device, CudaStream& stream)
    : device_(device), stream_(stream) {
  const cudaDeviceProp& properties = device.properties();
  if (properties.major == kMajor && properties.minor == kMinor) {
    max_shared_bytes_ = static_cast<int>(properties.sharedMemPerBlockOptin);
  }
}

int64_t SmallBackward::WorkspaceBytes(int64_t hidden_size) {
  if (hidden_size > kMaxNormFeatures) return 0;
  return LayerNormScratchSize(hidden_size) * static_cast<int64_t>(sizeof(float));
}

void SmallBackward::Reserve(int64_t hidden_size) {
  norm_scratch_ = Buffer();
  const int64_t size_bytes = WorkspaceBytes(hidden_size);
  if (size_bytes == 0) return;
  norm_scratch_ = device_.Allocate(size_bytes, "the partial gradients of layer norms");
}

bool SmallBackward::TakesInput(const LinearBackwardInputArgs& args) const {
  const int64_t out_features = args.weight.shape()[0];
  return max_shared_bytes_ > 0 && Is16Bit(args.dout.dtype()) &&
         IsSmall(args.dout.num_elements() / out_features, out_features, args.weight.shape()[1]) &&
         AreVectorAligned(args.dout.data(), args.weight.data(), args.relu_out.data(),
                          args.dx.data());
}

bool SmallBackward::TakesInput(const LinearBackwardInputArgs& args,
                               const LayerNormBackwardArgs& norm) const {
  return !args.relu_out.present() && args.weight.shape()[1] <= kMaxNormFeatures &&
         TakesInput(args) && norm.weight.dtype() == DType::kFloat32 &&
         AreVectorAligned(norm.x.data(), norm.weight.data(), norm.residual_gradient.data(),
                          norm.dx.data());
}

bool SmallBackward::TakesWeight(const LinearBackwardWeightArgs& args) const {
  const int64_t out_features = args.dweight.shape()[0];
  return max_shared_bytes_ > 0 && Is16Bit(args.dout.dtype()) &&
         IsSmall(args.dout.num_elements() / out_features, out_features, args.dweight.shape()[1]) &&
         AreVectorAligned(args.dout.data(), args.x.data(), args.dweight.data(), args.dbias.data());
}

bool SmallBackward::TakesAttention(const CausalAttentionBackwardArgs& args) const {
  const int64_t slice_len = args.slice_len();
  const int64_t head_dim = args.out.shape()[3];
  return Is16Bit(args.qkv.dtype()) && args.prefix_len == 0 &&
         args.write_mode == WriteMode::kOverwrite && slice_len > 0 &&
         slice_len <= kMaxAttentionGradientLen && slice_len * args.out.shape()[1] <= kMaxTokens &&
         head_dim % 16 == 0 && head_dim <= 128 &&
         AreVectorAligned(args.qkv.data(), args.out.data(), args.dout.data(), args.dqkv.data()) &&
         AttentionGradientSharedBytes(ShapeOf(args)) <= max_shared_bytes_;
}

ChainPlace SmallBackward::NextPlace() {
  return {.stream = stream_.handle(),
          .start = std::exchange(next_start_, LaunchStart::kOverlapped)};
}

template <typename T>
RidingGradients<T> SmallBackward::TakeWeights(int count) {
  RidingGradients<T> riding;
  for (int i = 0; i < count; ++i) {
    riding.weights[i] = RawWeightGradient<T>(weights_[static_cast<size_t>(i)]);
  }
  riding.num_weights = count;
  std::move(weights_.begin() + count, weights_.begin() + num_weights_, weights_.begin());
  num_weights_ -= count;
  num_earlier_weights_ = std::max(num_earlier_weights_ - count, 0);
  return riding;
}

bool SmallBackward::WaitsFor(const Tensor& dout) const {
  return norm_ && norm_->dx.data() == dout.data() && norm_->dx.dtype() == dout.dtype() &&
         norm_->dx.num_elements() == dout.num_elements();
}

template <typename T>
void SmallBackward::LaunchInput(const LinearBackwardInputArgs& args, RidingGradients<T> riding) {
  cuda::InputGradient<T> input = RawInputGradient<T>(args);
  if (norm_) {
    input.norm = RawNormBackward<T>(*norm_);
    riding.norm = RawNormSums<T>(*norm_);
    norm_.reset();
  }
  LaunchInputGradient<T>(input, riding, NextPlace());
}

void SmallBackward::InputGradient(const LinearBackwardInputArgs& args) {
  if (!WaitsFor(args.dout)) FinishNorm();
  Dispatch16Bit(args.dout.dtype(), [&](auto element) {
    using T = typename decltype(element)::type;
    LaunchInput<T>(args, {});
  });
}

void SmallBackward::InputGradient(const LinearBackwardInputArgs& args,
                                  const LayerNormBackwardArgs& norm) {
  SLUICE_CHECK(norm.dout.data() == args.dx.data());
  SLUICE_CHECK(norm.dx.data() != norm.dout.data() &&
               norm.dx.data() != norm.residual_gradient.data());  // several blocks read them
  FinishNorm();  // what rides may read what it makes
  Dispatch16Bit(args.dout.dtype(), [&](auto element) {
    using T = typename decltype(element)::type;
    LaunchInput<T>(args, TakeWeights<T>(num_earlier_weights_));
  });
  norm_ = norm;
}

void SmallBackward::AttentionGradient(const CausalAttentionBackwardArgs& args) {
  const AttentionShape shape = ShapeOf(args);
  SLUICE_CHECK_EQ(args.out.shape(), args.dout.shape());
  SLUICE_CHECK_EQ(args.dqkv.shape(), args.qkv.shape().WithRows(args.slice_len()));
  FinishEarlier();
  Dispatch16Bit(args.qkv.dtype(), [&](auto element) {
    using T = typename decltype(element)::type;
    const AttentionBackwardParams params = {.shape = shape,
                                            .qkv = args.qkv.Data<T>(),
                                            .out = args.out.Data<T>(),
                                            .lse = args.lse.Data<float>(),
                                            .dout = args.dout.Data<T>(),
                                            .dqkv = args.dqkv.Data<T>()};
    LaunchAttentionGradient<T>(params, TakeWeights<T>(num_weights_), NextPlace());
  });
}

void SmallBackward::WeightGradient(const LinearBackwardWeightArgs& args) {
  if (num_weights_ == static_cast<int>(weights_.size())) FinishWeights(num_weights_);
  dtype_ = args.dout.dtype();
  weights_[static_cast<size_t>(num_weights_++)] = args;
}

void SmallBackward::FinishNorm() {
  if (!norm_) return;
  SLUICE_CHECK(norm_scratch_.data() != nullptr);  // call Reserve first
  LayerNormBackward(*norm_, static_cast<float*>(norm_scratch_.data()), stream_.handle());
  norm_.reset();
}

void SmallBackward::FinishWeights(int count) {
  if (count == 0) return;
  FinishNorm();  // what rides may read what it makes
  Dispatch16Bit(dtype_, [&](auto element) {
    using T = typename decltype(element)::type;
    LaunchRidingGradients<T>(TakeWeights<T>(count), NextPlace());
  });
}

void SmallBackward::EndLayer() { num_earlier_weights_ = num_weights_; }

void SmallBackward::FinishEarlier() {
  FinishNorm();
  FinishWeights(num_earlier_weights_);
}

void SmallBackward::Finish() {
  FinishNorm();
  FinishWeights(num_weights_);
  next_start_ = LaunchStart::kAfterPrevious;
}

}  // namespace sluice::cuda
