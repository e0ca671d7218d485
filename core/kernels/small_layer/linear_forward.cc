#include "core/kernels/small_layer/linear_forward.h"

#include <algorithm>
#include <limits>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/kernels/cuda/element_types.h"
#include "core/kernels/cuda/vector_access.h"
#include "core/kernels/small_layer/linear_forward_params.h"

namespace sluice::cuda {
namespace {

// What the kernels require besides sizes.
void CheckTensors(const LinearForwardArgs& args) {
  SLUICE_CHECK(Is16Bit(args.x.dtype()));
  SLUICE_CHECK(AreVectorAligned(args.x.data(), args.weight.data(), args.bias.data(),
                                args.residual.data(), args.out.data()));
}

SmallLinearParams ParamsOf(const LinearForwardArgs& args) {
  const auto [num_tokens, num_inputs, num_outputs] = SizesOf(args);
  SLUICE_CHECK_EQ(args.x.num_elements(), num_tokens * num_inputs);
  SLUICE_CHECK_EQ(args.out.num_elements(), num_tokens * num_outputs);
  SLUICE_CHECK_EQ(args.out.dtype(), args.x.dtype());
  SLUICE_CHECK_EQ(args.weight.dtype(), args.x.dtype());
  SLUICE_CHECK(args.activation == Activation::kNone || !args.residual.present());
  // The kernels count elements in 32 bits.
  constexpr int64_t kMaxElements = std::numeric_limits<int>::max();
  SLUICE_CHECK_LE(
      std::max({args.x.num_elements(), args.weight.num_elements(), args.out.num_elements()}),
      kMaxElements);
  return {.x = args.x.data(),
          .weight = args.weight.data(),
          .bias = args.bias.data(),
          .residual = args.residual.data(),
          .out = args.out.data(),
          .num_tokens = static_cast<int>(num_tokens),
          .num_inputs = static_cast<int>(num_inputs),
          .num_outputs = static_cast<int>(num_outputs),
          .activation = args.activation};
}

void Launch(const SmallLinearParams& params, DType dtype, SmallLinearTile tile,
            cudaStream_t stream) {
  if (params.num_tokens == 0) return;
  Dispatch16Bit(dtype, [&](auto element) {
    LaunchSmallLinear<typename decltype(element)::type>(params, tile, stream);
  });
}

}  // namespace

LinearSizes SizesOf(const LinearForwardArgs& args) {
  const int64_t num_inputs = args.weight.row_size();
  return {.num_tokens = args.x.num_elements() / num_inputs,
          .num_inputs = num_inputs,
          .num_outputs = args.weight.num_rows()};
}

void SmallLinearForward(const LinearForwardArgs& args, SmallLinearTile tile, cudaStream_t stream) {
  SLUICE_CHECK(CanRunSmallLinear(SizesOf(args), tile));
  CheckTensors(args);
  Launch(ParamsOf(args), args.x.dtype(), tile, stream);
}

void SmallNormLinearForward(const LayerNormForwardArgs& norm, const LinearForwardArgs& linear,
                            SmallLinearTile tile, cudaStream_t stream) {
  SLUICE_CHECK(CanRunSmallNormLinear(SizesOf(linear), tile));
  CheckTensors(linear);
  SLUICE_CHECK(linear.x.data() == norm.out.data());
  SLUICE_CHECK(AreVectorAligned(norm.x.data(), norm.weight.data(), norm.bias.data()));
  SmallLinearParams params = ParamsOf(linear);
  SLUICE_CHECK_EQ(norm.x.num_elements(), linear.x.num_elements());
  SLUICE_CHECK_EQ(norm.weight.num_elements(), params.num_inputs);
  SLUICE_CHECK_EQ(norm.mean.num_elements(), params.num_tokens);
  SLUICE_CHECK(norm.x.data() != norm.out.data());  // other blocks read x again
  params.x = norm.x.data();
  params.norm_weight = norm.weight.Data<float>();
  params.norm_bias = norm.bias.Data<float>();
  params.norm_scale = 1.0f / static_cast<float>(params.num_inputs);
  params.norm_out = norm.out.data();
  params.mean = norm.mean.Data<float>();
  params.rstd = norm.rstd.Data<float>();
  Launch(params, linear.x.dtype(), tile, stream);
}

}  // namespace sluice::cuda
