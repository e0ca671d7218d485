#include "correctness/tolerance/stack_bound.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/base/rng.h"
#include "core/reference/initial_problem.h"
#include "correctness/tolerance/compare.h"

namespace sluice {
namespace {

using reference::Step;
using reference::Values;

TEST(StackRelativeL2, GrowsWithDepthAndPrecisionButNotPastTheDemand) {
  const ModelConfig test = FindModel("test"), deep = FindModel("test-l512");
  for (const StackTensor tensor : {StackTensor::kActivation, StackTensor::kActivationGradient,
                                   StackTensor::kParameterGradient}) {
    const double f64 = StackRelativeL2(test, 1, Precision::kFloat64, tensor);
    EXPECT_GT(f64, 0x1p-53);
    EXPECT_LT(f64, 1e-12);
    EXPECT_NEAR(StackRelativeL2(deep, 1, Precision::kFloat64, tensor) /
                    StackRelativeL2(test, 1, Precision::kFloat64, tensor),
                std::sqrt(512.0 / 24), 0.1);
    EXPECT_LE(StackRelativeL2(deep, 1, Precision::kFloat32, tensor), 2e-5);
  }
}

// A backward-stable computation gives the exact answer for data a few roundings away: perturbing
// weights and input by that much must stay within the bound, and by a million times that much not.
class Sensitivity : public testing::TestWithParam<reference::InitialProblemOptions> {};

Step WithRelativeNoise(const reference::InitialProblemOptions& options, double size) {
  reference::Problem problem = InitialProblem(options);
  const RandomStream stream(99, "noise");
  uint64_t element = 0;
  for (double& value : problem.input) value *= 1 + size * stream.Uniform(element++);
  for (auto& layer : problem.weights) {
    for (auto& [name, values] : layer) {
      for (double& value : values) value *= 1 + size * stream.Uniform(element++);
    }
  }
  return ForwardBackward(problem);
}

int CountFailures(const reference::InitialProblemOptions& options, const Step& expected,
                  const Step& actual) {
  int failures = 0;
  const auto compare = [&](const Values& a, const Values& e, StackTensor tensor) {
    const double bound =
        StackRelativeL2(options.config, options.batch_size, Precision::kFloat64, tensor);
    if (!CompareTensors<double, double>("", a, e, {bound, {}}).pass) ++failures;
  };
  compare(actual.output, expected.output, StackTensor::kActivation);
  compare(actual.input_gradient, expected.input_gradient, StackTensor::kActivationGradient);
  for (size_t i = 0; i < expected.gradients.size(); ++i) {
    for (const auto& [name, gradient] : expected.gradients[i]) {
      compare(actual.gradients[i].at(name), gradient, StackTensor::kParameterGradient);
    }
  }
  Values z = expected.output;
  double z_squares = 0, r_squares = 0;
  const Values r = InitialProblem(options).projection;
  for (const double value : z) z_squares += value * value;
  for (const double value : r) r_squares += value * value;
  const double loss_bound = StackLossBound(options.config, options.batch_size, Precision::kFloat64,
                                           {std::sqrt(z_squares), std::sqrt(r_squares)});
  if (!(std::abs(actual.loss - expected.loss) <= loss_bound)) ++failures;
  return failures;
}

TEST_P(Sensitivity, IsCoveredAndNotMillionfold) {
  const Step expected = WithRelativeNoise(GetParam(), 0);
  EXPECT_EQ(CountFailures(GetParam(), expected, WithRelativeNoise(GetParam(), 0x1p-53)), 0);
  const int num_tensors = 3 + static_cast<int>(GetParam().config.num_layers) * kNumLayerParameters;
  // All but the gradient of the last fc2.bias, which depends on the projection alone.
  EXPECT_EQ(CountFailures(GetParam(), expected, WithRelativeNoise(GetParam(), 1e6 * 0x1p-53)),
            num_tensors - 1);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Sensitivity,
    testing::Values(reference::InitialProblemOptions{.config = {"odd", 3, 35, 13, 5},
                                                     .batch_size = 3,
                                                     .loss = LossKind::kProjection,
                                                     .seed = 1},
                    reference::InitialProblemOptions{.config = {"deep", 24, 64, 17, 4},
                                                     .batch_size = 1,
                                                     .loss = LossKind::kProjection,
                                                     .seed = 2},
                    reference::InitialProblemOptions{.config = {"narrow", 12, 12, 9, 2},
                                                     .batch_size = 2,
                                                     .loss = LossKind::kProjection,
                                                     .seed = 3}));

}  // namespace
}  // namespace sluice
