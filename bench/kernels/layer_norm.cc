// Layer norm and its backward, held against a copy of as many bytes.

#include <fmt/format.h>

#include "bench/kernels/kernel_program.h"

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

struct Pass {
  const char* name;
  int num_tensors;  // of [M, H], read or written: all other traffic is lost beside them
  KernelCall (*prepare)(Operands&, int64_t num_tokens, int64_t hidden_size);
};
constexpr Pass kPasses[] = {{"layer_norm_forward", 2, Forward},
                            {"layer_norm_backward", 4, Backward}};

std::vector<KernelBenchmark> Benchmarks(const KernelSizes& sizes) {
  std::vector<KernelBenchmark> benchmarks;
  for (const Slice& slice : sizes.slices) {
    if (slice.begin != 0) continue;  // a layer norm does not see the prefix
    const int64_t num_tokens = slice.len * sizes.batch_size;
    const int64_t hidden_size = sizes.model.hidden_size;
    for (const Pass& pass : kPasses) {
      benchmarks.push_back(
          {.name = fmt::format("{}/m:{}/h:{}", pass.name, num_tokens, hidden_size),
           .limits = sizes.LimitsFor(slice),
           .ceiling = Ceiling::kCopyRate,
           .work =
               pass.num_tensors * num_tokens * hidden_size * SizeOf(StorageDType(sizes.precision)),
           .prepare = [prepare = pass.prepare, num_tokens, hidden_size](Operands& operands) {
             return prepare(operands, num_tokens, hidden_size);
           }});
    }
  }
  return benchmarks;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::KernelProgram(
      argc, argv,
      {.purpose = "Times the layer norm of a model, forward and backward.",
       .example = "bazel run //bench/kernels:layer_norm -- --model=gpt2-1hm --threads=2"},
      sluice::Benchmarks);
}
