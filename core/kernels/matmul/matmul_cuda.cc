#include "core/kernels/matmul/matmul_cuda.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/kernels/cuda/column_sums.h"
#include "core/kernels/matmul/relu_mask_cuda.h"

namespace sluice::cuda {
namespace {

Epilogue EpilogueFor(const LinearForwardArgs& args) {
  if (args.activation == Activation::kRelu) {
    return args.bias.present() ? Epilogue::kBiasRelu : Epilogue::kRelu;
  }
  return args.bias.present() ? Epilogue::kBias : Epilogue::kNone;
}

// Rows of a matrix of tokens with this many features.
int64_t NumTokens(const Tensor& tokens, int64_t num_features) {
  SLUICE_CHECK_EQ(tokens.num_elements() % num_features, 0);
  return tokens.num_elements() / num_features;
}

}  // namespace

int64_t LinearScratchBytes(int64_t max_features) {
  return std::max(CublasLtMatmul::ScratchBytes(),
                  ColumnSumsScratchSize(max_features) * static_cast<int64_t>(sizeof(float)));
}

// Column-major: out [N x M] = weight^T [N x K] x [K x M].
void LinearForward(const LinearForwardArgs& args, const LinearContext& context) {
  const int64_t num_outputs = args.weight.num_rows();
  const int64_t num_inputs = args.weight.row_size();
  const int64_t num_tokens = NumTokens(args.x, num_inputs);
  SLUICE_CHECK_EQ(args.out.num_elements(), num_tokens * num_outputs);
  SLUICE_CHECK(args.activation == Activation::kNone || !args.residual.present());
  context.matmul.Run({.m = num_outputs,
                      .n = num_tokens,
                      .k = num_inputs,
                      .transpose_a = Transpose::kYes,
                      .transpose_b = Transpose::kNo,
                      .input_dtype = args.x.dtype(),
                      .output_dtype = args.out.dtype(),
                      .epilogue = EpilogueFor(args)},
                     {.a = args.weight.data(),
                      .b = args.x.data(),
                      .c = args.residual.data(),
                      .d = args.out.data(),
                      .bias = args.bias.data(),
                      .beta = args.residual.present() ? 1.0f : 0.0f},
                     {.stream = context.stream, .scratch = context.scratch});
}

namespace {

// Column-major: dx [K x M] = weight [K x N] dout [N x M].
void BackwardInputProduct(const LinearBackwardInputArgs& args, const LinearContext& context) {
  const int64_t num_outputs = args.weight.num_rows();
  const int64_t num_inputs = args.weight.row_size();
  const int64_t num_tokens = NumTokens(args.dout, num_outputs);
  SLUICE_CHECK_EQ(args.dx.num_elements(), num_tokens * num_inputs);
  context.matmul.Run({.m = num_inputs,
                      .n = num_tokens,
                      .k = num_outputs,
                      .transpose_a = Transpose::kNo,
                      .transpose_b = Transpose::kNo,
                      .input_dtype = args.dout.dtype(),
                      .output_dtype = args.dx.dtype(),
                      .epilogue = Epilogue::kNone},
                     {.a = args.weight.data(),
                      .b = args.dout.data(),
                      .c = nullptr,
                      .d = args.dx.data(),
                      .bias = nullptr,
                      .beta = 0},
                     {.stream = context.stream, .scratch = context.scratch});
}

}  // namespace

void LinearBackwardInput(const LinearBackwardInputArgs& args, const LinearContext& context) {
  BackwardInputProduct(args, context);
  if (args.relu_out.present()) ApplyReluMask(args.relu_out, args.dx, context.stream.handle());
}

ColumnPartials LinearBackwardInputAndSums(const LinearBackwardInputArgs& args, float* partials,
                                          const LinearContext& context) {
  SLUICE_CHECK(args.relu_out.present());
  BackwardInputProduct(args, context);
  const int64_t num_inputs = args.weight.row_size();
  const Shape matrix = {NumTokens(args.dx, num_inputs), num_inputs};
  return MaskAndSumChunks(args.relu_out.Reshaped(matrix), args.dx.Reshaped(matrix), partials,
                          context.stream.handle());
}

// Column-major: dweight [K x N] = x [K x M] dout^T [M x N].
void LinearBackwardWeight(const LinearBackwardWeightArgs& args, const LinearContext& context) {
  const int64_t num_outputs = args.dweight.num_rows();
  const int64_t num_inputs = args.dweight.row_size();
  const int64_t num_tokens = NumTokens(args.x, num_inputs);
  SLUICE_CHECK_EQ(args.dout.num_elements(), num_tokens * num_outputs);
  const bool accumulates = args.write_mode == WriteMode::kAccumulate;
  context.matmul.Run({.m = num_inputs,
                      .n = num_outputs,
                      .k = num_tokens,
                      .transpose_a = Transpose::kNo,
                      .transpose_b = Transpose::kYes,
                      .input_dtype = args.x.dtype(),
                      .output_dtype = args.dweight.dtype(),
                      .epilogue = Epilogue::kNone},
                     {.a = args.x.data(),
                      .b = args.dout.data(),
                      .c = accumulates ? args.dweight.data() : nullptr,
                      .d = args.dweight.data(),
                      .bias = nullptr,
                      .beta = accumulates ? 1.0f : 0.0f},
                     {.stream = context.stream, .scratch = context.scratch});
  if (!args.dbias.present()) return;
  SumColumns(args.dout.Reshaped({num_tokens, num_outputs}), args.dbias, args.write_mode,
             static_cast<float*>(context.scratch), context.stream.handle());
}

}  // namespace sluice::cuda
