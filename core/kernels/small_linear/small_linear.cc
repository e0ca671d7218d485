#include "core/kernels/small_linear/small_linear.h"

#include <algorithm>
#include <limits>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/kernels/cuda/element_types.h"
#include "core/kernels/cuda/vector_access.h"
#include "core/kernels/small_linear/small_linear_params.h"

namespace sluice::cuda {
namespace {

// See WarpSplit in small_product.cuh: what a warp's registers hold of K.
constexpr int64_t kBlockTokens = 16;
constexpr int64_t kChunkSize = 32;
constexpr int64_t kMaxChunks = 8;
constexpr int64_t kMaxNormChunks = 4;

// Blocks from which on a wider tile is worth its longer time: about the multiprocessors of a GPU.
constexpr int64_t kEnoughBlocks = 128;

// Up to here all 26 shapes that small_linear_timing was run for on an H100 (16 to 512 tokens, 128
// to 2048 features) took 1.3 to 2.7 times as long by cuBLASLt, and 1.8 to 2.7 times with a norm in
// front; with twice to three times as many products it begins to be the faster one.
constexpr int64_t kMaxProducts = int64_t{1} << 25;

int64_t NumColumns(SmallLinearTile tile) {
  switch (tile) {
    case SmallLinearTile::k16:
      return 16;
    case SmallLinearTile::k32:
      return 32;
    case SmallLinearTile::k64:
      return 64;
  }
  return 0;
}

int64_t NumInputParts(SmallLinearTile tile) { return tile == SmallLinearTile::k64 ? 4 : 8; }

int64_t NumChunks(const LinearForwardArgs& args, SmallLinearTile tile) {
  return CeilDiv(args.weight.row_size(), NumInputParts(tile) * kChunkSize);
}

bool Fits(const LinearForwardArgs& args, SmallLinearTile tile, int64_t max_chunks) {
  return args.weight.num_rows() % NumColumns(tile) == 0 && NumChunks(args, tile) <= max_chunks;
}

bool CanRun(const LinearForwardArgs& args, SmallLinearTile tile, int64_t max_chunks) {
  return Is16Bit(args.x.dtype()) && args.weight.row_size() % kChunkSize == 0 &&
         Fits(args, tile, max_chunks) &&
         AreVectorAligned(args.x.data(), args.weight.data(), args.bias.data(), args.residual.data(),
                          args.out.data());
}

SmallLinearParams ParamsOf(const LinearForwardArgs& args) {
  const int64_t num_inputs = args.weight.row_size();
  const int64_t num_outputs = args.weight.num_rows();
  const int64_t num_tokens = args.x.num_elements() / num_inputs;
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

SmallLinearTile Choose(const LinearForwardArgs& args, int64_t max_chunks) {
  const int64_t num_token_tiles =
      CeilDiv(args.x.num_elements() / args.weight.row_size(), kBlockTokens);
  for (const SmallLinearTile tile : {SmallLinearTile::k64, SmallLinearTile::k32}) {
    const int64_t num_blocks = num_token_tiles * args.weight.num_rows() / NumColumns(tile);
    if (num_blocks >= kEnoughBlocks && Fits(args, tile, max_chunks)) return tile;
  }
  return SmallLinearTile::k16;
}

}  // namespace

bool CanRunSmallLinear(const LinearForwardArgs& args, SmallLinearTile tile) {
  return CanRun(args, tile, kMaxChunks);
}

bool CanRunSmallNormLinear(const LinearForwardArgs& linear, SmallLinearTile tile) {
  return CanRun(linear, tile, kMaxNormChunks);
}

bool PrefersSmallLinear(const LinearSizes& sizes) {
  return sizes.num_tokens * sizes.num_inputs * sizes.num_outputs <= kMaxProducts;
}

SmallLinearTile ChooseSmallLinearTile(const LinearForwardArgs& args) {
  return Choose(args, kMaxChunks);
}

SmallLinearTile ChooseSmallNormLinearTile(const LinearForwardArgs& linear) {
  return Choose(linear, kMaxNormChunks);
}

void SmallLinearForward(const LinearForwardArgs& args, SmallLinearTile tile, cudaStream_t stream) {
  SLUICE_CHECK(CanRunSmallLinear(args, tile));
  Launch(ParamsOf(args), args.x.dtype(), tile, stream);
}

void SmallNormLinearForward(const LayerNormForwardArgs& norm, const LinearForwardArgs& linear,
                            SmallLinearTile tile, cudaStream_t stream) {
  SLUICE_CHECK(CanRunSmallNormLinear(linear, tile));
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
