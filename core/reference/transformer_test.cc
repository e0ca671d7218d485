#include "core/reference/transformer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/reference/initial_problem.h"

namespace sluice::reference {
namespace {

// A problem whose loss is smooth around it: the biases hold every ReLU's input some five standard
// deviations away from its kink, half of them above and half below.
Problem SmoothProblem(const InitialProblemOptions& options) {
  Problem problem = InitialProblem(options);
  for (NamedValues& layer : problem.weights) {
    Values& bias = layer.at("fc1.bias");
    for (size_t i = 0; i < bias.size(); ++i) bias[i] += i % 2 == 0 ? 3 : -3;
  }
  return problem;
}

double LossOf(const Problem& problem) { return Loss(Forward(problem).output, problem.projection); }

// Central difference of fourth order: its truncation error is of the order of kStep^4, its rounding
// error of the order of 2^-53 * loss / kStep, both near 1e-13 for losses and inputs of order one.
constexpr double kStep = 1e-3;
constexpr double kTolerance = 1e-10;

double FiniteDifference(const Problem& problem, double& element) {
  const double original = element;
  const auto loss_at = [&](double offset) {
    element = original + offset;
    const double loss = LossOf(problem);
    element = original;
    return loss;
  };
  return (8 * (loss_at(kStep) - loss_at(-kStep)) - (loss_at(2 * kStep) - loss_at(-2 * kStep))) /
         (12 * kStep);
}

// The largest difference between the gradient and finite differences, over all elements of small
// tensors and 150 of larger ones.
double WorstDifference(const Problem& problem, Values& values, const Values& gradient) {
  EXPECT_EQ(values.size(), gradient.size());
  const size_t stride = 1 + values.size() / 150;
  double worst = 0;
  for (size_t i = 0; i < values.size(); i += stride) {
    const double difference = std::abs(FiniteDifference(problem, values[i]) - gradient[i]);
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}

double Largest(const Values& values) {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

class Gradients : public testing::TestWithParam<InitialProblemOptions> {};

TEST_P(Gradients, AgreeWithFiniteDifferencesInEveryTensor) {
  Problem problem = SmoothProblem(GetParam());
  const Step step = ForwardBackward(problem);
  EXPECT_EQ(step.loss, LossOf(problem));
  EXPECT_LE(WorstDifference(problem, problem.input, step.input_gradient), kTolerance);
  for (size_t layer = 0; layer < problem.weights.size(); ++layer) {
    EXPECT_EQ(step.gradients[layer].size(), static_cast<size_t>(kNumLayerParameters));
    for (auto& [name, values] : problem.weights[layer]) {
      const Values& gradient = step.gradients[layer].at(name);
      EXPECT_LE(WorstDifference(problem, values, gradient), kTolerance) << layer << " " << name;
      // Otherwise the comparison would say nothing.
      EXPECT_GE(Largest(gradient), 1e6 * kTolerance) << layer << " " << name;
    }
  }
  for (size_t layer = 0; layer < problem.prefix.size(); ++layer) {
    EXPECT_LE(WorstDifference(problem, problem.prefix[layer], step.prefix_gradients[layer]),
              kTolerance)
        << layer;
  }
}

// The comparison itself: it must see one gradient element scaled by 1.001.
TEST_P(Gradients, FiniteDifferencesSeeASmallFault) {
  Problem problem = SmoothProblem(GetParam());
  Step step = ForwardBackward(problem);
  Values& gradient = step.gradients[0].at("attn_ln.weight");
  auto largest = std::max_element(gradient.begin(), gradient.end());
  *largest *= 1.001;
  EXPECT_GT(WorstDifference(problem, problem.weights[0].at("attn_ln.weight"), gradient),
            kTolerance);
}

INSTANTIATE_TEST_SUITE_P(
    OddShapes, Gradients,
    testing::Values(
        InitialProblemOptions{.config = {"odd", 2, 15, 5, 3}, .batch_size = 1, .seed = 1},
        InitialProblemOptions{.config = {"odd", 2, 10, 3, 2},
                              .batch_size = 3,
                              .loss = LossKind::kProjection,
                              .seed = 2},
        InitialProblemOptions{.config = {"odd", 1, 14, 4, 2},
                              .batch_size = 2,
                              .prefix_len = 3,
                              .loss = LossKind::kProjection,
                              .seed = 3},
        InitialProblemOptions{
            .config = {"odd", 3, 9, 1, 1}, .batch_size = 2, .prefix_len = 2, .seed = 4}));

TEST(Forward, OfSlicesWithTheirPrefixIsTheForwardOfTheWhole) {
  const ModelConfig config{"odd", 3, 15, 7, 3};
  const Problem whole = InitialProblem({.config = config, .batch_size = 2, .seed = 5});
  const Values expected = Forward(whole).output;
  Values output;
  Problem slice = whole;
  for (const int64_t slice_len : {3, 1, 3}) {
    const int64_t position_size = 2 * config.hidden_size;
    slice.config.seq_len = slice_len;
    const auto begin = whole.input.begin() + slice.prefix_len * position_size;
    slice.input.assign(begin, begin + slice_len * position_size);
    Output result = Forward(slice);
    output.insert(output.end(), result.output.begin(), result.output.end());
    slice.prefix = std::move(result.qkv);
    slice.prefix_len += slice_len;
  }
  // The same operations in the same order.
  EXPECT_EQ(output, expected);
}

TEST(TransformerDeathTest, RefusesAPrefixThatIsMissing) {
  Problem problem = InitialProblem({.config = {"odd", 2, 4, 2, 1}});
  problem.prefix_len = 1;
  EXPECT_DEATH(Forward(problem), "prefix.size");
}

}  // namespace
}  // namespace sluice::reference
