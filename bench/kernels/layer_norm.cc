// Layer norm and its backward, compared with a copy of as many bytes.

#include <fmt/format.h>

#include <string_view>

#include "bench/kernels/kernel_program.h"
#include "core/base/checked_math.h"

namespace sluice {
namespace {

KernelCall Forward(Operands& operands, int64_t num_tokens, int64_t hidden_size) {
  const Shape shape = {num_tokens, hidden_size};
  const LayerNormForwardArgs args = {.x = operands.Activation(shape),
                                     .weight = operands.Accumulator({hidden_size}),
                                     .bias = operands.Accumulator({hidden_size}),
                                     .out = operands.Activation(shape),
                                     .mean = operands.Accumulator({num_tokens}),
                                     .rstd = operands.Accumulator({num_tokens})};
  return {[=](Kernels& kernels) { kernels.LayerNormForward(args); },
          {args.out, args.mean, args.rstd}};
}

KernelCall Backward(Operands& operands, int64_t num_tokens, int64_t hidden_size) {
  const Shape shape = {num_tokens, hidden_size};
  const LayerNormBackwardArgs args = {.dout = operands.Activation(shape),
                                      .x = operands.Activation(shape),
                                      .weight = operands.Accumulator({hidden_size}),
                                      .mean = operands.Accumulator({num_tokens}),
                                      .rstd = operands.Accumulator({num_tokens}),
                                      .residual_gradient = operands.Activation(shape),
                                      .dx = operands.Activation(shape),
                                      .dweight = operands.Accumulator({hidden_size}),
                                      .dbias = operands.Accumulator({hidden_size})};
  return {[=](Kernels& kernels) { kernels.LayerNormBackward(args); },
          {args.dx, args.dweight, args.dbias}};
}

// Counts only tensors of [M, H] as traffic: everything else is negligible in comparison.
KernelBenchmark BenchmarkOf(std::string_view name, const KernelSizes& sizes, const Slice& slice,
                            int num_tensors, KernelCall (*prepare)(Operands&, int64_t, int64_t)) {
  const int64_t num_tokens = sizes.NumTokens(slice);
  const int64_t hidden_size = sizes.model.hidden_size;
  return {
      .name = fmt::format("{}/m:{}/h:{}", name, num_tokens, hidden_size),
      .ceiling = Ceiling::kCopyRate,
      .work = CheckedProduct("the number of bytes", {num_tensors, num_tokens, hidden_size,
                                                     SizeOf(StorageDType(sizes.precision))}),
      .prepare = [=](Operands& operands) { return prepare(operands, num_tokens, hidden_size); }};
}

std::vector<KernelBenchmark> Benchmarks(const KernelSizes& sizes, const Slice& slice) {
  return {BenchmarkOf("layer_norm_forward", sizes, slice, 2, Forward),
          BenchmarkOf("layer_norm_backward", sizes, slice, 4, Backward)};
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::KernelProgram(
      argc, argv,
      {.purpose = "Times the layer norm of a model, forward and backward.",
       .example = "bazel run //bench/kernels:layer_norm -- --model=gpt2-1hm --threads=2"},
      {.of_slice = sluice::Benchmarks});
}
