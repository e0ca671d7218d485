#include "core/kernels/layer_norm/layer_norm.h"

#include <gtest/gtest.h>

#include <limits>

#include "correctness/kernels/kernel_runner.h"
#include "correctness/tolerance/compare.h"
#include "correctness/tolerance/kernel_expectations.h"

namespace sluice {
namespace {

using reference::LayerNormShape;
using reference::Values;

// (tokens, hidden size): fewer tokens than threads, vector lengths and remainders.
const LayerNormShape kShapes[] = {{1, 3}, {2, 5}, {7, 64}, {100, 257}, {33, 768}};

// All inputs of a layer norm and its backward, and its exact statistics.
struct Problem {
  LayerNormShape shape;
  Values x, weight, bias, dout, mean, rstd;

  Problem(const LayerNormShape& s, Precision precision)
      : shape(s),
        x(RandomValues("x", s.num_tokens * s.hidden_size, precision)),
        weight(RandomValues("w", s.hidden_size, precision)),
        bias(RandomValues("b", s.hidden_size, precision)),
        dout(RandomValues("dout", s.num_tokens * s.hidden_size, precision)) {
    const reference::LayerNormOutput exact = LayerNorm(shape, x, weight, bias);
    mean = exact.mean;
    rstd = exact.rstd;
  }
};

enum class Alias { kNone, kInput };

class LayerNormKernel : public testing::TestWithParam<KernelSetup> {};

TEST_P(LayerNormKernel, Forward) {
  for (const LayerNormShape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << shape.num_tokens << " x " << shape.hidden_size);
    const Problem p(shape, GetParam().precision);
    const LayerNormExpectation expected =
        ExpectLayerNorm(shape, p.x, p.weight, p.bias, GetParam().arithmetic());
    for (const Alias out_alias : {Alias::kNone, Alias::kInput}) {
      KernelRunner runner(GetParam());
      const Tensor x = runner.Put(p.x, {shape.num_tokens, shape.hidden_size});
      const LayerNormForwardArgs args = {
          .x = x,
          .weight = runner.Put(p.weight, {shape.hidden_size}),
          .bias = runner.Put(p.bias, {shape.hidden_size}),
          .out = out_alias == Alias::kInput ? x : runner.Poisoned(x.shape()),
          .mean = runner.Poisoned({shape.num_tokens}),
          .rstd = runner.Poisoned({shape.num_tokens})};
      runner.kernels().LayerNormForward(args);
      ExpectWithin("out", runner.Get(args.out), expected.out);
      ExpectWithin("mean", runner.Get(args.mean), expected.mean);
      ExpectWithin("rstd", runner.Get(args.rstd), expected.rstd);
    }
  }
}

// Puts the backward's inputs; dx and the gradients are poisoned.
LayerNormBackwardArgs PutBackward(KernelRunner& runner, const Problem& p) {
  const Shape shape = {p.shape.num_tokens, p.shape.hidden_size};
  return {.dout = runner.Put(p.dout, shape),
          .x = runner.Put(p.x, shape),
          .weight = runner.Put(p.weight, {p.shape.hidden_size}),
          .mean = runner.Put(p.mean, {p.shape.num_tokens}),
          .rstd = runner.Put(p.rstd, {p.shape.num_tokens}),
          .dx = runner.Poisoned(shape),
          .dweight = runner.Poisoned({p.shape.hidden_size}),
          .dbias = runner.Poisoned({p.shape.hidden_size})};
}

TEST_P(LayerNormKernel, BackwardOverwritesOrAccumulates) {
  const Arithmetic arithmetic = GetParam().arithmetic();
  for (const LayerNormShape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << shape.num_tokens << " x " << shape.hidden_size);
    const Problem p(shape, GetParam().precision);
    const LayerNormBackwardExpectation expected =
        ExpectLayerNormBackward(shape, p.x, p.weight, p.dout, arithmetic);
    KernelRunner runner(GetParam());
    LayerNormBackwardArgs args = PutBackward(runner, p);
    runner.kernels().LayerNormBackward(args);
    ExpectWithin("dx", runner.Get(args.dx), expected.x);
    ExpectWithin("dweight", runner.Get(args.dweight), expected.weight);
    ExpectWithin("dbias", runner.Get(args.dbias), expected.bias);

    const Values old_weight = RandomValues("old dw", shape.hidden_size, GetParam().precision);
    const Values old_bias = RandomValues("old db", shape.hidden_size, GetParam().precision);
    args.dweight = runner.Put(old_weight, {shape.hidden_size});
    args.dbias = runner.Put(old_bias, {shape.hidden_size});
    args.dx = args.dout;
    args.write_mode = WriteMode::kAccumulate;
    runner.kernels().LayerNormBackward(args);
    ExpectWithin("dx over dout", runner.Get(args.dx), expected.x);
    ExpectWithin("dweight +=", runner.Get(args.dweight),
                 ThenAdd(expected.weight, old_weight, arithmetic));
    ExpectWithin("dbias +=", runner.Get(args.dbias), ThenAdd(expected.bias, old_bias, arithmetic));
  }
}

TEST_P(LayerNormKernel, BackwardAddsTheResidualGradient) {
  const LayerNormShape shape = {33, 257};
  const Problem p(shape, GetParam().precision);
  const Values residual =
      RandomValues("residual", shape.num_tokens * shape.hidden_size, GetParam().precision);
  const Arithmetic arithmetic = GetParam().arithmetic();
  const Expectation expected = ThenAdd(
      ExpectLayerNormBackward(shape, p.x, p.weight, p.dout, arithmetic).x, residual, arithmetic);
  enum class Dx { kOwn, kResidual, kDout };
  for (const Dx dx : {Dx::kOwn, Dx::kResidual, Dx::kDout}) {
    KernelRunner runner(GetParam());
    LayerNormBackwardArgs args = PutBackward(runner, p);
    args.residual_gradient = runner.Put(residual, args.dx.shape());
    if (dx == Dx::kResidual) args.dx = args.residual_gradient;
    if (dx == Dx::kDout) args.dx = args.dout;
    runner.kernels().LayerNormBackward(args);
    ExpectWithin("dx", runner.Get(args.dx), expected);
  }
}

TEST_P(LayerNormKernel, NanStaysInItsToken) {
  Problem p({9, 70}, GetParam().precision);
  p.x[4 * 70 + 3] = std::numeric_limits<double>::quiet_NaN();
  KernelRunner runner(GetParam());
  const Shape shape = {9, 70};
  const Tensor x = runner.Put(p.x, shape), out = runner.Poisoned(shape);
  const Tensor mean = runner.Poisoned({9}), rstd = runner.Poisoned({9});
  const Tensor weight = runner.Put(p.weight, {70});
  runner.kernels().LayerNormForward({.x = x,
                                     .weight = weight,
                                     .bias = runner.Put(p.bias, {70}),
                                     .out = out,
                                     .mean = mean,
                                     .rstd = rstd});
  LayerNormBackwardArgs args = PutBackward(runner, p);
  args.mean = mean;
  args.rstd = rstd;
  runner.kernels().LayerNormBackward(args);
  const std::vector<bool> out_nan = WhereNan(runner.Get(out)),
                          dx_nan = WhereNan(runner.Get(args.dx));
  for (size_t i = 0; i < out_nan.size(); ++i) {
    EXPECT_EQ(out_nan[i], i / 70 == 4) << i;
    EXPECT_EQ(dx_nan[i], i / 70 == 4) << i;
  }
  EXPECT_EQ(WhereNan(runner.Get(args.dweight)), std::vector<bool>(70, true));
  EXPECT_EQ(WhereNan(runner.Get(args.dbias)), std::vector<bool>(70, false));
}

// A mean a thousand times the deviation, as of a residual stream that has drifted: a variance
// computed as E[x^2] - E[x]^2 would be wrong by several percent in float32.  (The bound is then too
// wide for the smallest fault of ExpectWithin.)
TEST_P(LayerNormKernel, ForwardOfALargeMean) {
  const LayerNormShape shape = {5, 300};
  Problem p(shape, GetParam().precision);
  for (double& x : p.x) {
    x += 1000;
    if (GetParam().precision == Precision::kFloat32) x = static_cast<float>(x);
  }
  KernelRunner runner(GetParam());
  const Tensor out = runner.Poisoned({5, 300});
  runner.kernels().LayerNormForward({.x = runner.Put(p.x, {5, 300}),
                                     .weight = runner.Put(p.weight, {300}),
                                     .bias = runner.Put(p.bias, {300}),
                                     .out = out,
                                     .mean = runner.Poisoned({5}),
                                     .rstd = runner.Poisoned({5})});
  const Expectation expected =
      ExpectLayerNorm(shape, p.x, p.weight, p.bias, GetParam().arithmetic()).out;
  const Bound bound = BoundOf(expected);
  EXPECT_LT(bound.relative_l2, 0.02);
  const Comparison comparison =
      CompareTensors<double, double>("out", runner.Get(out), expected.values, bound);
  EXPECT_TRUE(comparison.pass) << ToString(comparison);
}

INSTANTIATE_TEST_SUITE_P(Cpu, LayerNormKernel, testing::ValuesIn(CpuSetups()), TestName);

}  // namespace
}  // namespace sluice
