#include "core/kernels/matmul/matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "correctness/kernels/kernel_runner.h"
#include "correctness/tolerance/kernel_expectations.h"

namespace sluice {
namespace {

using reference::LinearShape;
using reference::Values;

// (tokens, in, out): single elements, sizes below, at and beside the shares of threads, and each of
// the three the longest once.
const LinearShape kShapes[] = {{1, 1, 1},     {1, 7, 5},     {7, 3, 1},    {33, 31, 65},
                               {64, 96, 32},  {100, 257, 3}, {3, 70, 130}, {130, 64, 66},
                               {257, 40, 17}, {31, 31, 31}};

class MatMul : public testing::TestWithParam<KernelSetup> {
 protected:
  // Random inputs of one shape; names tell them apart.
  Values Random(const char* name, int64_t size) const {
    return RandomValues(name, size, GetParam().precision);
  }
  Values X(const LinearShape& s) const { return Random("x", s.num_tokens * s.in_features); }
  Values Weight(const LinearShape& s) const { return Random("w", s.out_features * s.in_features); }
  Values OutLike(const char* name, const LinearShape& s) const {
    return Random(name, s.num_tokens * s.out_features);
  }
};

enum class Fused { kNothing, kBias, kRelu, kBiasRelu, kResidual, kBiasResidual, kResidualInPlace };

// Which parts of the forward a case has.
struct Parts {
  bool bias, relu, residual, in_place;

  explicit Parts(Fused fused)
      : bias(fused == Fused::kBias || fused == Fused::kBiasRelu || fused == Fused::kBiasResidual ||
             fused == Fused::kResidualInPlace),
        relu(fused == Fused::kRelu || fused == Fused::kBiasRelu),
        residual(fused == Fused::kResidual || fused == Fused::kBiasResidual ||
                 fused == Fused::kResidualInPlace),
        in_place(fused == Fused::kResidualInPlace) {}
};

TEST_P(MatMul, ForwardWithAllThatIsFused) {
  for (const LinearShape& shape : kShapes) {
    SCOPED_TRACE(testing::Message()
                 << shape.num_tokens << " x " << shape.in_features << " -> " << shape.out_features);
    const auto [tokens, in, out_features] = shape;
    const Values x = X(shape), weight = Weight(shape), residual = OutLike("r", shape);
    const Values bias = Random("b", out_features), zeros(static_cast<size_t>(out_features));
    for (const Fused fused : {Fused::kNothing, Fused::kBias, Fused::kRelu, Fused::kBiasRelu,
                              Fused::kResidual, Fused::kBiasResidual, Fused::kResidualInPlace}) {
      const Parts parts(fused);
      KernelRunner runner(GetParam());
      const Shape out_shape = {tokens, out_features};
      LinearForwardArgs args = {.x = runner.Put(x, {tokens, in}),
                                .weight = runner.Put(weight, {out_features, in})};
      if (parts.bias) args.bias = runner.Put(bias, {out_features});
      if (parts.residual) args.residual = runner.Put(residual, out_shape);
      args.out = parts.in_place ? args.residual : runner.Poisoned(out_shape);
      if (parts.relu) args.activation = Activation::kRelu;
      runner.kernels().LinearForward(args);

      const Arithmetic arithmetic = GetParam().arithmetic();
      Expectation expected = ExpectLinear(shape, x, weight, parts.bias ? bias : zeros, arithmetic);
      if (parts.relu) expected = ThenRelu(expected);
      if (parts.residual) expected = ThenAdd(expected, residual, arithmetic);
      ExpectWithin("out", runner.Get(args.out), expected);
    }
  }
}

TEST_P(MatMul, BackwardInputWithAndWithoutReluMask) {
  for (const LinearShape& shape : kShapes) {
    const auto [tokens, in, out_features] = shape;
    const Values weight = Weight(shape), dout = OutLike("dout", shape);
    const Values relu_out = reference::Relu(X(shape));
    const Expectation expected =
        ExpectLinearBackward(shape, relu_out, weight, dout, GetParam().arithmetic()).x;
    KernelRunner runner(GetParam());
    LinearBackwardInputArgs args = {.dout = runner.Put(dout, {tokens, out_features}),
                                    .weight = runner.Put(weight, {out_features, in}),
                                    .dx = runner.Poisoned({tokens, in})};
    runner.kernels().LinearBackwardInput(args);
    ExpectWithin("dx", runner.Get(args.dx), expected);

    args.relu_out = runner.Put(relu_out, {tokens, in});
    args.dx = runner.Poisoned({tokens, in});
    runner.kernels().LinearBackwardInput(args);
    ExpectWithin("masked dx", runner.Get(args.dx), ThenReluBackward(expected, relu_out));
  }
}

TEST_P(MatMul, BackwardWeightOverwritesOrAccumulates) {
  for (const LinearShape& shape : kShapes) {
    const auto [tokens, in, out_features] = shape;
    const Values x = X(shape), weight = Weight(shape), dout = OutLike("dout", shape);
    const Arithmetic arithmetic = GetParam().arithmetic();
    const LinearBackwardExpectation expected =
        ExpectLinearBackward(shape, x, weight, dout, arithmetic);
    KernelRunner runner(GetParam());
    LinearBackwardWeightArgs args = {.dout = runner.Put(dout, {tokens, out_features}),
                                     .x = runner.Put(x, {tokens, in}),
                                     .dweight = runner.Poisoned({out_features, in}),
                                     .dbias = runner.Poisoned({out_features}),
                                     .write_mode = WriteMode::kOverwrite};
    runner.kernels().LinearBackwardWeight(args);
    ExpectWithin("dweight", runner.Get(args.dweight), expected.weight);
    ExpectWithin("dbias", runner.Get(args.dbias), expected.bias);

    const Values old_weight = Random("old dw", out_features * in);
    const Values old_bias = Random("old db", out_features);
    args.dweight = runner.Put(old_weight, {out_features, in});
    args.dbias = runner.Put(old_bias, {out_features});
    args.write_mode = WriteMode::kAccumulate;
    runner.kernels().LinearBackwardWeight(args);
    ExpectWithin("dweight +=", runner.Get(args.dweight),
                 ThenAdd(expected.weight, old_weight, arithmetic));
    ExpectWithin("dbias +=", runner.Get(args.dbias), ThenAdd(expected.bias, old_bias, arithmetic));

    args.dweight = runner.Poisoned({out_features, in});
    args.dbias = Tensor();
    args.write_mode = WriteMode::kOverwrite;
    runner.kernels().LinearBackwardWeight(args);
    ExpectWithin("dweight alone", runner.Get(args.dweight), expected.weight);
  }
}

// A NaN in one token's x makes that token's outputs NaN, also behind a ReLU, and no other.
TEST_P(MatMul, NanPropagatesThroughItsOwnTokenOnly) {
  const LinearShape shape = {40, 33, 70};
  const auto [tokens, in, out_features] = shape;
  Values x = X(shape), dout = OutLike("dout", shape);
  x[5 * 33 + 2] = std::numeric_limits<double>::quiet_NaN();
  dout[7 * 70 + 3] = std::numeric_limits<double>::quiet_NaN();
  KernelRunner runner(GetParam());
  const Tensor weight = runner.Put(Weight(shape), {out_features, in});
  const Tensor relu = runner.Poisoned({tokens, out_features});
  runner.kernels().LinearForward({.x = runner.Put(x, {tokens, in}),
                                  .weight = weight,
                                  .out = relu,
                                  .activation = Activation::kRelu});
  const Tensor dx = runner.Poisoned({tokens, in});
  runner.kernels().LinearBackwardInput(
      {.dout = runner.Put(dout, {tokens, out_features}), .weight = weight, .dx = dx});
  const std::vector<bool> relu_nan = WhereNan(runner.Get(relu)), dx_nan = WhereNan(runner.Get(dx));
  for (size_t i = 0; i < relu_nan.size(); ++i) EXPECT_EQ(relu_nan[i], i / 70 == 5) << i;
  for (size_t i = 0; i < dx_nan.size(); ++i) EXPECT_EQ(dx_nan[i], i / 33 == 7) << i;
}

// The whole of one fused pass, twice: bit for bit the same.
TEST_P(MatMul, IsDeterministic) {
  const LinearShape shape = {130, 257, 66};
  const auto [tokens, in, out_features] = shape;
  Values first;
  for (int repeat = 0; repeat < 2; ++repeat) {
    KernelRunner runner(GetParam());
    const Tensor dweight = runner.Poisoned({out_features, in});
    runner.kernels().LinearBackwardWeight(
        {.dout = runner.Put(OutLike("dout", shape), {tokens, out_features}),
         .x = runner.Put(X(shape), {tokens, in}),
         .dweight = dweight});
    if (repeat == 0) first = runner.Get(dweight);
    EXPECT_EQ(runner.Get(dweight), first);
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, MatMul, testing::ValuesIn(CpuSetups()), TestName);

}  // namespace
}  // namespace sluice
