// The three passes of the four linear layers of a model.

#include <fmt/format.h>

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

struct Pass {
  const char* name;
  KernelCall (*prepare)(Operands&, const LinearSize&);
};
constexpr Pass kPasses[] = {{"linear_forward", Forward},
                            {"linear_backward_input", BackwardInput},
                            {"linear_backward_weight", BackwardWeight}};

std::vector<KernelBenchmark> Benchmarks(const KernelSizes& sizes) {
  std::vector<KernelBenchmark> benchmarks;
  for (const Slice& slice : sizes.slices) {
    if (slice.begin != 0) continue;  // a linear layer does not see the prefix
    for (const ParameterSpec& parameter : LayerParameters(sizes.model)) {
      if (parameter.shape.rank() != 2) continue;
      const LinearSize size = {slice.len * sizes.batch_size, parameter.shape[1],
                               parameter.shape[0]};
      for (const Pass& pass : kPasses) {
        benchmarks.push_back(
            {.name = fmt::format("{}/{}/m:{}/n:{}/k:{}", pass.name, parameter.name, size.num_tokens,
                                 size.out_features, size.in_features),
             .limits = sizes.LimitsFor(slice),
             .ceiling = Ceiling::kMatMulRate,
             .work = LinearFlops(size),
             .prepare = [prepare = pass.prepare, size](Operands& operands) {
               return prepare(operands, size);
             }});
      }
    }
  }
  return benchmarks;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::KernelProgram(
      argc, argv,
      {.purpose = "Times the linear layers of a model, forward and both backwards.",
       .example = "bazel run //bench/kernels:matmul -- --model=gpt2-1hm --threads=2"},
      sluice::Benchmarks);
}
