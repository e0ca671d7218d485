// The residual connection and the two losses.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/kernels/loss/loss.h"
#include "core/kernels/residual/residual.h"
#include "correctness/kernels/kernel_runner.h"
#include "correctness/tolerance/kernel_expectations.h"

namespace sluice {
namespace {

using reference::Values;

// (tokens, hidden size).
const Shape kShapes[] = {{1, 1}, {3, 5}, {33, 257}, {130, 64}};

class Elementwise : public testing::TestWithParam<KernelSetup> {
 protected:
  Values Random(const char* name, const Shape& shape) const {
    return RandomValues(name, shape.num_elements(), GetParam().precision);
  }
};

TEST_P(Elementwise, AddBiasResidualInAnyPlace) {
  enum class Out { kOwn, kX, kResidual };
  for (const Shape& shape : kShapes) {
    const Values x = Random("x", shape), residual = Random("r", shape);
    const Values bias = Random("b", {shape[1]});
    Values bias_rows;
    for (int64_t i = 0; i < shape.num_elements(); ++i) bias_rows.push_back(bias[i % shape[1]]);
    const Arithmetic arithmetic = GetParam().arithmetic();
    // Summed from left to right, with one rounding each.
    const Expectation expected =
        ThenAdd(ThenAdd(Exactly(x), bias_rows, arithmetic), residual, arithmetic);
    for (const Out out : {Out::kOwn, Out::kX, Out::kResidual}) {
      KernelRunner runner(GetParam());
      AddBiasResidualArgs args = {.x = runner.Put(x, shape),
                                  .bias = runner.Put(bias, {shape[1]}),
                                  .residual = runner.Put(residual, shape),
                                  .out = runner.Poisoned(shape)};
      if (out == Out::kX) args.out = args.x;
      if (out == Out::kResidual) args.out = args.residual;
      runner.kernels().AddBiasResidual(args);
      ExpectWithin("out", runner.Get(args.out), expected);
    }
  }
}

// The kernel sums in float64 whatever the element type, and rounds the product with scale once.
Expectation ExpectLossSummedInFloat64(const Values& z, const Values& r,
                                      const Arithmetic& arithmetic) {
  Expectation expected = ExpectLoss(z, r, ArithmeticOf(Precision::kFloat64));
  expected.certain[0] += arithmetic.storage * std::abs(expected.values[0]);
  return expected;
}

TEST_P(Elementwise, LossOverwritesOrAccumulates) {
  for (const Shape& shape : kShapes) {
    const Values z = Random("z", shape), r = Random("r", shape);
    const double scale = 1 / static_cast<double>(shape.num_elements());
    const Arithmetic arithmetic = GetParam().arithmetic();
    for (const Values& weights : {Values(), r}) {
      KernelRunner runner(GetParam());
      LossForwardArgs args = {
          .z = runner.Put(z, shape), .scale = scale, .loss = runner.Poisoned({1})};
      if (!weights.empty()) args.r = runner.Put(weights, shape);
      runner.kernels().LossForward(args);
      const Expectation expected = ExpectLossSummedInFloat64(z, weights, arithmetic);
      ExpectWithin("loss", runner.Get(args.loss), expected);

      args.loss = runner.Put({0.75}, {1});
      args.write_mode = WriteMode::kAccumulate;
      runner.kernels().LossForward(args);
      ExpectWithin("loss +=", runner.Get(args.loss), ThenAdd(expected, {0.75}, arithmetic));
    }
  }
}

TEST_P(Elementwise, LossOfPartsAddsUp) {
  const Shape shape = {33, 257};
  const Values z = Random("z", shape), r = Random("r", shape);
  KernelRunner runner(GetParam());
  const Tensor z_tensor = runner.Put(z, shape), r_tensor = runner.Put(r, shape);
  const Tensor loss = runner.Poisoned({1});
  for (const int64_t begin : {0, 11, 22}) {
    runner.kernels().LossForward(
        {.z = z_tensor.Rows(begin, 11),
         .r = r_tensor.Rows(begin, 11),
         .scale = 1 / static_cast<double>(shape.num_elements()),
         .loss = loss,
         .write_mode = begin == 0 ? WriteMode::kOverwrite : WriteMode::kAccumulate});
  }
  // Each part is rounded to the element type, and each sum of parts, no larger than all of them.
  Expectation expected = ExpectLossSummedInFloat64(z, r, GetParam().arithmetic());
  for (const int64_t begin : {0, 11, 22}) {
    const auto part = [&](const Values& values) {
      return Values(values.begin() + begin * 257, values.begin() + (begin + 11) * 257);
    };
    expected.certain[0] +=
        2 * GetParam().arithmetic().storage * std::abs(reference::Loss(part(z), part(r)));
  }
  ExpectWithin("loss", runner.Get(loss), expected);
}

TEST_P(Elementwise, LossBackward) {
  for (const Shape& shape : kShapes) {
    const Values r = Random("r", shape);
    const double scale = 1 / static_cast<double>(shape.num_elements());
    for (const Values& weights : {Values(), r}) {
      KernelRunner runner(GetParam());
      LossBackwardArgs args = {.scale = scale, .dz = runner.Poisoned(shape)};
      if (!weights.empty()) args.r = runner.Put(weights, shape);
      runner.kernels().LossBackward(args);
      Expectation expected = Exactly(reference::LossBackward(shape.num_elements(), weights));
      // The scale is rounded, and the product: two roundings of each element.
      for (size_t i = 0; i < expected.values.size(); ++i) {
        expected.certain[i] = 2 * GetParam().arithmetic().storage * std::abs(expected.values[i]);
      }
      ExpectWithin("dz", runner.Get(args.dz), expected);
    }
  }
}

TEST_P(Elementwise, NanPropagates) {
  const Shape shape = {3, 5};
  Values z = Random("z", shape);
  z[7] = std::numeric_limits<double>::quiet_NaN();
  KernelRunner runner(GetParam());
  const Tensor x = runner.Put(z, shape), loss = runner.Put({0}, {1}), out = runner.Poisoned(shape);
  runner.kernels().LossForward({.z = x, .loss = loss});
  EXPECT_TRUE(std::isnan(runner.Get(loss)[0]));
  runner.kernels().AddBiasResidual({.x = x,
                                    .bias = runner.Put(Random("b", {5}), {5}),
                                    .residual = runner.Put(Random("r", shape), shape),
                                    .out = out});
  std::vector<bool> expected(15, false);
  expected[7] = true;
  EXPECT_EQ(WhereNan(runner.Get(out)), expected);
}

INSTANTIATE_TEST_SUITE_P(Cpu, Elementwise, testing::ValuesIn(CpuSetups()), TestName);

}  // namespace
}  // namespace sluice
