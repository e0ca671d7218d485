#include "core/kernels/small_layer/cuda_small_layer.h"

#include "core/base/check.h"
#include "core/kernels/causal_attention/causal_attention_cuda.h"
#include "core/kernels/cuda/element_types.h"
#include "core/kernels/cuda/vector_access.h"
#include "core/kernels/small_layer/attention_gradient.h"
#include "core/kernels/small_layer/input_gradient.h"
#include "core/kernels/small_layer/linear_forward.h"

namespace sluice::cuda {
namespace {

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
cuda::InputGradient<T> RawInputGradient(const LinearBackwardInputArgs& args) {
  const int64_t out_features = args.weight.shape()[0];
  SLUICE_CHECK(
      AreVectorAligned(args.dout.data(), args.weight.data(), args.relu_out.data(), args.dx.data()));
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
  SLUICE_CHECK(AreVectorAligned(args.x.data(), args.weight.data(), args.residual_gradient.data(),
                                args.dx.data()));
  // Several blocks read them.
  SLUICE_CHECK(args.dx.data() != args.dout.data() &&
               args.dx.data() != args.residual_gradient.data());
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

template <typename T>
PiggybackedGradients<T> RawGradients(PiggybackedWeights weights) {
  SLUICE_CHECK_LE(weights.size(), size_t{kMaxPiggybackedWeights});
  PiggybackedGradients<T> extra;
  for (const LinearBackwardWeightArgs& args : weights) {
    SLUICE_CHECK(
        AreVectorAligned(args.dout.data(), args.x.data(), args.dweight.data(), args.dbias.data()));
    extra.weights[extra.num_weights++] = RawWeightGradient<T>(args);
  }
  return extra;
}

AttentionShape ShapeOf(const CausalAttentionBackwardArgs& args) {
  const int64_t slice_len = args.slice_len();
  return {.prefix_len = static_cast<int>(args.prefix_len),
          .slice_len = static_cast<int>(slice_len),
          .num_keys = static_cast<int>(args.prefix_len + slice_len),
          .num_pairs = static_cast<int>(args.out.shape()[1] * args.out.shape()[2]),
          .head_dim = static_cast<int>(args.out.shape()[3])};
}

ChainLaunch LaunchAt(ChainPlace place, const CudaStream& stream) {
  return {.stream = stream.handle(),
          .start =
              place == ChainPlace::kFirst ? LaunchStart::kAfterPrevious : LaunchStart::kOverlapped};
}

}  // namespace

CudaSmallLayer::CudaSmallLayer(const CudaDevice& device, CudaStream& stream,
                               const CudaSmallLayerOptions& options)
    : device_{.dtype = options.dtype,
              .compute_capability = 10 * device.properties().major + device.properties().minor,
              .max_shared_bytes = static_cast<int64_t>(device.properties().sharedMemPerBlockOptin),
              .has_small_attention = options.has_small_attention},
      stream_(stream) {}

void CudaSmallLayer::LinearForward(const LinearForwardArgs& args) {
  SmallLinearForward(args, ChooseSmallLinearTile(SizesOf(args)), stream_.handle());
}

void CudaSmallLayer::NormLinearForward(const LayerNormForwardArgs& norm,
                                       const LinearForwardArgs& linear) {
  SmallNormLinearForward(norm, linear, ChooseSmallNormLinearTile(SizesOf(linear)),
                         stream_.handle());
}

void CudaSmallLayer::AttentionForward(const CausalAttentionForwardArgs& args) {
  CausalAttentionForward(args, CausalAttentionImplementation::kSmall, /*workspace=*/nullptr,
                         stream_.handle());
}

void CudaSmallLayer::InputGradient(const SmallInputGradientArgs& args, ChainPlace place) {
  Dispatch16Bit(args.linear.dout.dtype(), [&](auto element) {
    using T = typename decltype(element)::type;
    cuda::InputGradient<T> input = RawInputGradient<T>(args.linear);
    PiggybackedGradients<T> extra = RawGradients<T>(args.weights);
    if (args.norm) {
      SLUICE_CHECK(args.norm->dx.data() == args.linear.dout.data());
      input.norm = RawNormBackward<T>(*args.norm);
      extra.norm = RawNormSums<T>(*args.norm);
    }
    LaunchInputGradient<T>(input, extra, LaunchAt(place, stream_));
  });
}

void CudaSmallLayer::AttentionGradient(const CausalAttentionBackwardArgs& args,
                                       PiggybackedWeights weights, ChainPlace place) {
  SLUICE_CHECK_EQ(args.prefix_len, 0);
  SLUICE_CHECK(args.write_mode == WriteMode::kOverwrite);
  SLUICE_CHECK_EQ(args.out.shape(), args.dout.shape());
  SLUICE_CHECK_EQ(args.dqkv.shape(), args.qkv.shape().WithRows(args.slice_len()));
  SLUICE_CHECK(
      AreVectorAligned(args.qkv.data(), args.out.data(), args.dout.data(), args.dqkv.data()));
  Dispatch16Bit(args.qkv.dtype(), [&](auto element) {
    using T = typename decltype(element)::type;
    const AttentionBackwardParams params = {.shape = ShapeOf(args),
                                            .qkv = args.qkv.Data<T>(),
                                            .out = args.out.Data<T>(),
                                            .lse = args.lse.Data<float>(),
                                            .dout = args.dout.Data<T>(),
                                            .dqkv = args.dqkv.Data<T>()};
    LaunchAttentionGradient<T>(params, RawGradients<T>(weights), LaunchAt(place, stream_));
  });
}

void CudaSmallLayer::WeightGradients(PiggybackedWeights weights, ChainPlace place) {
  if (weights.empty()) return;
  Dispatch16Bit(weights.front().dout.dtype(), [&](auto element) {
    using T = typename decltype(element)::type;
    LaunchGradientsAlone<T>(RawGradients<T>(weights), LaunchAt(place, stream_));
  });
}

}  // namespace sluice::cuda
