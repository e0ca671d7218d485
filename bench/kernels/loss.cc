// The two losses and their gradients, held against a copy of as many bytes.

#include <fmt/format.h>

#include "bench/kernels/kernel_program.h"

namespace sluice {
namespace {

// One of the four calls on [M, H].
struct Pass {
  const char* name;
  int num_activations;  // of [M, H], read or written in the storage type
  int num_projections;  // of [M, H], read in the accumulator type
  KernelCall (*prepare)(Operands&, Shape);
};

KernelCall Forward(Operands& operands, Shape shape, Tensor r) {
  const LossForwardArgs args = {.z = operands.Activation(shape),
                                .r = r,
                                .scale = 1 / static_cast<double>(shape.num_elements()),
                                .loss = operands.Accumulator({1})};
  return {[=](Kernels& kernels) { kernels.LossForward(args); }, {args.loss}};
}

KernelCall Backward(Operands& operands, Shape shape, Tensor r) {
  const LossBackwardArgs args = {.r = r,
                                 .scale = 1 / static_cast<double>(shape.num_elements()),
                                 .dz = operands.Activation(shape)};
  return {[=](Kernels& kernels) { kernels.LossBackward(args); }, {args.dz}};
}

constexpr Pass kPasses[] = {
    {"loss_forward/loss:mean", 1, 0,
     [](Operands& operands, Shape shape) { return Forward(operands, shape, {}); }},
    {"loss_forward/loss:projection", 1, 1,
     [](Operands& operands, Shape shape) {
       return Forward(operands, shape, operands.Accumulator(shape));
     }},
    {"loss_backward/loss:mean", 1, 0,
     [](Operands& operands, Shape shape) { return Backward(operands, shape, {}); }},
    {"loss_backward/loss:projection", 1, 1,
     [](Operands& operands, Shape shape) {
       return Backward(operands, shape, operands.Accumulator(shape));
     }},
};

std::vector<KernelBenchmark> Benchmarks(const KernelSizes& sizes) {
  std::vector<KernelBenchmark> benchmarks;
  for (const Slice& slice : sizes.slices) {
    if (slice.begin != 0) continue;  // the loss does not see the prefix
    const Shape shape = {slice.len * sizes.batch_size, sizes.model.hidden_size};
    for (const Pass& pass : kPasses) {
      const int64_t element_bytes =
          pass.num_activations * SizeOf(StorageDType(sizes.precision)) +
          pass.num_projections * SizeOf(AccumulatorDType(sizes.precision));
      benchmarks.push_back({.name = fmt::format("{}/m:{}/h:{}", pass.name, shape[0], shape[1]),
                            .limits = sizes.LimitsFor(slice),
                            .ceiling = Ceiling::kCopyRate,
                            .work = element_bytes * shape.num_elements(),
                            .prepare = [prepare = pass.prepare, shape](Operands& operands) {
                              return prepare(operands, shape);
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
      {.purpose = "Times the losses over a model's output, forward and backward.",
       .example = "bazel run //bench/kernels:loss -- --model=gpt2-1hm --threads=2"},
      sluice::Benchmarks);
}
