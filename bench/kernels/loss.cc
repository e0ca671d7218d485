// The two losses and their gradients, compared with a copy of as many bytes.

#include <fmt/format.h>

#include <string_view>

#include "bench/kernels/kernel_program.h"
#include "core/base/checked_math.h"

namespace sluice {
namespace {

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

// `num_projections` is the number of tensors of [M, H] that are read in the accumulator type,
// besides one that is read or written in the storage type.
KernelBenchmark BenchmarkOf(std::string_view name, const KernelSizes& sizes, const Slice& slice,
                            int num_projections,
                            KernelCall (*prepare)(Operands&, Shape shape, Tensor r)) {
  const Shape shape = {sizes.NumTokens(slice), sizes.model.hidden_size};
  const int64_t element_bytes = SizeOf(StorageDType(sizes.precision)) +
                                num_projections * SizeOf(AccumulatorDType(sizes.precision));
  return {.name = fmt::format("{}/m:{}/h:{}", name, shape[0], shape[1]),
          .ceiling = Ceiling::kCopyRate,
          .work = CheckedProduct("the number of bytes", {element_bytes, shape[0], shape[1]}),
          .prepare = [=](Operands& operands) {
            return prepare(operands, shape,
                           num_projections > 0 ? operands.Accumulator(shape) : Tensor());
          }};
}

std::vector<KernelBenchmark> Benchmarks(const KernelSizes& sizes, const Slice& slice) {
  return {BenchmarkOf("loss_forward/loss:mean", sizes, slice, 0, Forward),
          BenchmarkOf("loss_forward/loss:projection", sizes, slice, 1, Forward),
          BenchmarkOf("loss_backward/loss:mean", sizes, slice, 0, Backward),
          BenchmarkOf("loss_backward/loss:projection", sizes, slice, 1, Backward)};
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::KernelProgram(
      argc, argv,
      {.purpose = "Times the losses over a model's output, forward and backward.",
       .example = "bazel run //bench/kernels:loss -- --model=gpt2-1hm --threads=2"},
      {.of_slice = sluice::Benchmarks});
}
