#include "core/kernels/cuda_kernels.h"

#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/kernels/cuda/kernel_test.h"

namespace sluice::cuda {
namespace {

constexpr int64_t kTokens = 24;
constexpr int64_t kHidden = 64;

KernelLimits Limits() {
  return {.max_tokens = kTokens,
          .max_seq_len = 12,
          .max_batch_size = 2,
          .hidden_size = kHidden,
          .num_heads = 2,
          .head_dim = 32,
          .max_features = 4 * kHidden};
}

class CudaKernelsTest : public KernelTest {};

TEST_F(CudaKernelsTest, ReserveAllocatesWhatWorkspaceBytesSays) {
  for (const Precision precision :
       {Precision::kFloat32, Precision::kTf32, Precision::kBFloat16, Precision::kFloat16}) {
    CudaKernels kernels(device(), stream(), precision);
    const int64_t before = device().allocated_bytes();
    kernels.Reserve(Limits());
    EXPECT_EQ(device().allocated_bytes() - before, kernels.WorkspaceBytes(Limits()));
    kernels.Reserve(Limits());
    EXPECT_EQ(device().allocated_bytes() - before, kernels.WorkspaceBytes(Limits()));
  }
}

TEST_F(CudaKernelsTest, NamesAHeadDimWithoutAKernel) {
  CudaKernels kernels(device(), stream(), Precision::kBFloat16);
  KernelLimits limits = Limits();
  limits.head_dim = 7;
  try {
    kernels.Reserve(limits);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("head_dim 7"), std::string::npos) << error.what();
  }
}

// A layer norm, a linear layer and the loss: eagerly, then as a graph on other inputs.
TEST_F(CudaKernelsTest, GraphComputesWhatTheCallsCompute) {
  CudaKernels kernels(device(), stream(), Precision::kBFloat16);
  kernels.Reserve(Limits());
  const DType dtype = DType::kBFloat16;
  const DeviceTensor x = Random(dtype, {kTokens, kHidden}, "x");
  const DeviceTensor other_x = Random(dtype, {kTokens, kHidden}, "other x");
  const DeviceTensor ln_weight = Random(DType::kFloat32, {kHidden}, "ln weight");
  const DeviceTensor ln_bias = Random(DType::kFloat32, {kHidden}, "ln bias");
  const DeviceTensor weight = Random(dtype, {4 * kHidden, kHidden}, "weight");
  const DeviceTensor bias = Random(dtype, {4 * kHidden}, "bias");
  const DeviceTensor mean = Unwritten(DType::kFloat32, {kTokens});
  const DeviceTensor rstd = Unwritten(DType::kFloat32, {kTokens});
  const DeviceTensor normalised = Unwritten(dtype, {kTokens, kHidden});
  const DeviceTensor out = Unwritten(dtype, {kTokens, 4 * kHidden});
  const DeviceTensor loss = Unwritten(DType::kFloat32, {1});
  const auto work = [&] {
    kernels.LayerNormForward({.x = x.tensor,
                              .weight = ln_weight.tensor,
                              .bias = ln_bias.tensor,
                              .out = normalised.tensor,
                              .mean = mean.tensor,
                              .rstd = rstd.tensor});
    kernels.LinearForward({.x = normalised.tensor,
                           .weight = weight.tensor,
                           .bias = bias.tensor,
                           .out = out.tensor,
                           .activation = Activation::kRelu});
    kernels.LossForward({.z = out.tensor, .scale = 0.01, .loss = loss.tensor});
  };
  work();
  const std::vector<double> first = Read(loss.tensor);
  const std::unique_ptr<StreamGraph> graph = stream().Capture(work);
  std::vector<std::byte> bytes(static_cast<size_t>(x.tensor.num_bytes()));
  device().CopyToHost(bytes.data(), other_x.tensor.data(), x.tensor.num_bytes());
  device().CopyFromHost(x.tensor.data(), bytes.data(), x.tensor.num_bytes());
  const int64_t num_allocations = device().num_allocations();
  graph->Launch();
  const std::vector<double> replayed = Read(loss.tensor);
  work();
  EXPECT_EQ(device().num_allocations(), num_allocations);
  EXPECT_EQ(Read(loss.tensor), replayed);
  EXPECT_NE(first, replayed);
}

// Large enough for the pass that masks and sums; the two calls that it stands for sum in the same
// order.
TEST_F(CudaKernelsTest, BackwardThroughReluGivesTheBitsOfItsTwoCalls) {
  constexpr int64_t kManyTokens = 1200, kFfn = 1000;
  KernelLimits limits = Limits();
  limits.max_tokens = kManyTokens;
  limits.max_features = kFfn;
  CudaKernels kernels(device(), stream(), Precision::kBFloat16);
  kernels.Reserve(limits);
  const DType dtype = DType::kBFloat16;
  const DeviceTensor dout = Random(dtype, {kManyTokens, kHidden}, "dout");
  const DeviceTensor weight = Random(dtype, {kHidden, kFfn}, "weight");
  const DeviceTensor relu_out = Random(dtype, {kManyTokens, kFfn}, "relu_out");
  const DeviceTensor x = Random(dtype, {kManyTokens, kHidden}, "x");
  struct Gradients {
    DeviceTensor dx, dweight, dbias;
  };
  const auto gradients = [&] {
    return Gradients{Unwritten(dtype, {kManyTokens, kFfn}),
                     Unwritten(DType::kFloat32, {kFfn, kHidden}),
                     Unwritten(DType::kFloat32, {kFfn})};
  };
  const Gradients one = gradients(), two = gradients();
  const auto behind = [&](const Gradients& g) {
    return LinearBackwardInputArgs{.dout = dout.tensor,
                                   .weight = weight.tensor,
                                   .relu_out = relu_out.tensor,
                                   .dx = g.dx.tensor};
  };
  for (const WriteMode mode : {WriteMode::kOverwrite, WriteMode::kAccumulate}) {
    const auto in_front = [&](const Gradients& g) {
      return LinearBackwardWeightArgs{.dout = g.dx.tensor,
                                      .x = x.tensor,
                                      .dweight = g.dweight.tensor,
                                      .dbias = g.dbias.tensor,
                                      .write_mode = mode};
    };
    kernels.gradient_lane()->LinearBackwardThroughRelu(behind(one), in_front(one));
    kernels.gradient_lane()->Join();
    kernels.LinearBackwardInput(behind(two));
    kernels.LinearBackwardWeight(in_front(two));
    EXPECT_EQ(Read(one.dx.tensor), Read(two.dx.tensor));
    EXPECT_EQ(Read(one.dweight.tensor), Read(two.dweight.tensor));
    EXPECT_EQ(Read(one.dbias.tensor), Read(two.dbias.tensor));
  }
}

// The lane's results are there for what is enqueued after Join, and are those of the calls that run
// in order.
TEST_F(CudaKernelsTest, LaneGivesTheBitsOfCallsInOrder) {
  CudaKernels kernels(device(), stream(), Precision::kBFloat16);
  kernels.Reserve(Limits());
  const DType dtype = DType::kBFloat16;
  const DeviceTensor dout = Random(dtype, {kTokens, kHidden}, "dout");
  const DeviceTensor x = Random(dtype, {kTokens, kHidden}, "x");
  const DeviceTensor norm_weight = Random(DType::kFloat32, {kHidden}, "norm weight");
  const DeviceTensor mean = Random(DType::kFloat32, {kTokens}, "mean");
  const DeviceTensor rstd = Random(DType::kFloat32, {kTokens}, "rstd");
  struct Gradients {
    DeviceTensor dweight, dbias, dx[kNumNormSlots], norm_dweight[kNumNormSlots],
        norm_dbias[kNumNormSlots];
  };
  const auto gradients = [&] {
    Gradients g = {.dweight = Unwritten(DType::kFloat32, {kHidden, kHidden}),
                   .dbias = Unwritten(DType::kFloat32, {kHidden})};
    for (int slot = 0; slot < kNumNormSlots; ++slot) {
      g.dx[slot] = Unwritten(dtype, {kTokens, kHidden});
      g.norm_dweight[slot] = Unwritten(DType::kFloat32, {kHidden});
      g.norm_dbias[slot] = Unwritten(DType::kFloat32, {kHidden});
    }
    return g;
  };
  const auto weight = [&](const Gradients& g) {
    return LinearBackwardWeightArgs{
        .dout = dout.tensor, .x = x.tensor, .dweight = g.dweight.tensor, .dbias = g.dbias.tensor};
  };
  const auto norm = [&](const Gradients& g, int slot) {
    return LayerNormBackwardArgs{.dout = slot == 0 ? dout.tensor : x.tensor,
                                 .x = x.tensor,
                                 .weight = norm_weight.tensor,
                                 .mean = mean.tensor,
                                 .rstd = rstd.tensor,
                                 .dx = g.dx[slot].tensor,
                                 .dweight = g.norm_dweight[slot].tensor,
                                 .dbias = g.norm_dbias[slot].tensor};
  };
  const Gradients on_lane = gradients(), in_order = gradients();
  GradientLane& lane = *kernels.gradient_lane();
  lane.LinearBackwardWeight(weight(on_lane));
  lane.LayerNormBackward(norm(on_lane, 0), NormSlot::kFirst);
  lane.LayerNormBackward(norm(on_lane, 1), NormSlot::kSecond);
  lane.Join();
  kernels.LinearBackwardWeight(weight(in_order));
  EXPECT_EQ(Read(on_lane.dweight.tensor), Read(in_order.dweight.tensor));
  EXPECT_EQ(Read(on_lane.dbias.tensor), Read(in_order.dbias.tensor));
  for (int slot = 0; slot < kNumNormSlots; ++slot) {
    kernels.LayerNormBackward(norm(in_order, slot));
    EXPECT_EQ(Read(on_lane.dx[slot].tensor), Read(in_order.dx[slot].tensor));
    EXPECT_EQ(Read(on_lane.norm_dweight[slot].tensor), Read(in_order.norm_dweight[slot].tensor));
    EXPECT_EQ(Read(on_lane.norm_dbias[slot].tensor), Read(in_order.norm_dbias[slot].tensor));
  }
}

using CudaKernelsDeathTest = CudaKernelsTest;

TEST_F(CudaKernelsDeathTest, NamesTheKernelOfAnIllegalAddress) {
  // The child must make a CUDA context of its own: a forked one does not work.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const DeviceTensor bias = Random(DType::kFloat32, {kHidden}, "bias");
  void* nowhere = reinterpret_cast<void*>(uintptr_t{1} << 44);
  const Tensor outside(nowhere, DType::kFloat32, {kTokens, kHidden});
  CudaKernels kernels(device(), stream(), Precision::kFloat32);
  EXPECT_DEATH(
      {
        kernels.AddBiasResidual(
            {.x = outside, .bias = bias.tensor, .residual = outside, .out = outside});
        stream().Synchronize();
      },
      "cudaErrorIllegalAddress.*AddBiasResidual");
}

}  // namespace
}  // namespace sluice::cuda
