// The forward and both backward products of the four linear layers of a model.

#include <fmt/format.h>

#include <string_view>

#include "bench/harness/flops.h"
#include "bench/kernels/kernel_program.h"

namespace sluice {
namespace {

KernelCall Forward(Operands& operands, const LinearSize& size) {
  const LinearForwardArgs args = {
      .x = operands.Activation({size.num_tokens, size.in_features}),
      .weight = operands.Activation({size.out_features, size.in_features}),
      .bias = operands.Activation({size.out_features}),
      .out = operands.Activation({size.num_tokens, size.out_features})};
  return {[=](Kernels& kernels) { kernels.LinearForward(args); }, {args.out}};
}

KernelCall BackwardInput(Operands& operands, const LinearSize& size) {
  const LinearBackwardInputArgs args = {
      .dout = operands.Activation({size.num_tokens, size.out_features}),
      .weight = operands.Activation({size.out_features, size.in_features}),
      .dx = operands.Activation({size.num_tokens, size.in_features})};
  return {[=](Kernels& kernels) { kernels.LinearBackwardInput(args); }, {args.dx}};
}

KernelCall BackwardWeight(Operands& operands, const LinearSize& size) {
  const LinearBackwardWeightArgs args = {
      .dout = operands.Activation({size.num_tokens, size.out_features}),
      .x = operands.Activation({size.num_tokens, size.in_features}),
      .dweight = operands.Accumulator({size.out_features, size.in_features}),
      .dbias = operands.Accumulator({size.out_features})};
  return {[=](Kernels& kernels) { kernels.LinearBackwardWeight(args); },
          {args.dweight, args.dbias}};
}

KernelBenchmark BenchmarkOf(std::string_view name, std::string_view layer, const LinearSize& size,
                            KernelCall (*prepare)(Operands&, const LinearSize&)) {
  return {.name = fmt::format("{}/{}/m:{}/n:{}/k:{}", name, layer, size.num_tokens,
                              size.out_features, size.in_features),
          .ceiling = Ceiling::kMatMulRate,
          .work = LinearFlops(size),
          .prepare = [=](Operands& operands) { return prepare(operands, size); }};
}

std::vector<KernelBenchmark> Benchmarks(const KernelSizes& sizes, const Slice& slice) {
  std::vector<KernelBenchmark> benchmarks;
  for (const ParameterSpec& parameter : LayerParameters(sizes.model)) {
    if (parameter.shape.rank() != 2) continue;
    const LinearSize size = {sizes.NumTokens(slice), parameter.shape[1], parameter.shape[0]};
    benchmarks.push_back(BenchmarkOf("linear_forward", parameter.name, size, Forward));
    benchmarks.push_back(BenchmarkOf("linear_backward_input", parameter.name, size, BackwardInput));
    benchmarks.push_back(
        BenchmarkOf("linear_backward_weight", parameter.name, size, BackwardWeight));
  }
  return benchmarks;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::KernelProgram(
      argc, argv,
      {.purpose = "Times the linear layers of a model: forward, input gradient, weight gradient.",
       .example = "bazel run //bench/kernels:matmul -- --model=gpt2-1hm --threads=2"},
      {.of_slice = sluice::Benchmarks});
}
