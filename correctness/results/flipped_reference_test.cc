#include "correctness/results/flipped_reference.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/reference/initial_problem.h"
#include "correctness/tolerance/compare.h"

namespace sluice {
namespace {

using reference::Step;
using reference::Values;

JobConfig Config() {
  return {.model = {"flips", 16, 96, 64, 4},
          .batch_size = 2,
          .loss = LossKind::kProjection,
          .seed = 1,
          .precision = Precision::kFloat32};
}

reference::Problem ProblemOf(const JobConfig& config) {
  return reference::InitialProblem({.config = config.model,
                                    .batch_size = config.batch_size,
                                    .loss = config.loss,
                                    .seed = config.seed});
}

std::map<std::string, Values> Fc1Biases(const Step& step) {
  std::map<std::string, Values> biases;
  for (size_t i = 0; i < step.gradients.size(); ++i) {
    biases["grad." + ParameterName(static_cast<int64_t>(i), "fc1.bias")] =
        step.gradients[i].at("fc1.bias");
  }
  return biases;
}

// `plain` is the step without flips.
bool Agrees(const FlippedReference& reference, const Step& run, const Step& plain,
            double relative_l2) {
  bool agrees = true;
  const auto compare = [&](const std::string& name, const Values& values, const Values& expected) {
    agrees = agrees && CompareTensors<double, double>(name, values, reference.Apply(name, expected),
                                                      {.relative_l2 = relative_l2})
                           .pass;
  };
  for (size_t i = 0; i < run.gradients.size(); ++i) {
    for (const auto& [parameter, values] : run.gradients[i]) {
      compare("grad." + ParameterName(static_cast<int64_t>(i), parameter), values,
              plain.gradients[i].at(parameter));
    }
  }
  compare("grad.input", run.input_gradient, plain.input_gradient);
  return agrees;
}

// The run is the reference with every other of the inputs that may flip on the other side of 0.
TEST(FlippedReference, FindsTheFlipsOfARunAndThenAgreesWithIt) {
  reference::Problem problem = ProblemOf(Config());
  const Step plain = ForwardBackward(problem);
  const StackErrors errors = AnalyzeStack(problem, {.precision = Precision::kFloat32});
  ASSERT_GE(errors.possible_flips().size(), size_t{2});
  for (size_t i = 0; i < errors.possible_flips().size(); i += 2) {
    problem.flips.push_back(errors.possible_flips()[i].flip);
  }
  const Step run = ForwardBackward(problem);
  FlippedReference reference(Config());
  EXPECT_FALSE(Agrees(reference, run, plain, 2e-5));
  reference.Resolve(Fc1Biases(run));
  std::vector<reference::ReluFlip> found = reference.flips();
  std::sort(found.begin(), found.end());
  std::sort(problem.flips.begin(), problem.flips.end());
  EXPECT_EQ(found, problem.flips);
  EXPECT_TRUE(Agrees(reference, run, plain, 1e-12));
}

// A unit that is not close to 0 cannot have flipped in a correct run.
TEST(FlippedReference, DoesNotExplainAFaultAway) {
  reference::Problem problem = ProblemOf(Config());
  const Step plain = ForwardBackward(problem);
  problem.flips = {{.layer = 2, .element = 12345}};
  Step run = ForwardBackward(problem);
  FlippedReference reference(Config());
  reference.Resolve(Fc1Biases(run));
  EXPECT_FALSE(Agrees(reference, run, plain, 2e-5));

  run = plain;
  for (double& value : run.gradients[1].at("fc1.bias")) value *= 1.001;
  FlippedReference scaled(Config());
  scaled.Resolve(Fc1Biases(run));
  EXPECT_FALSE(Agrees(scaled, run, plain, 2e-5));
}

TEST(FlippedReference, OfARunWithoutFlipsIsThePlainOne) {
  FlippedReference reference(Config());
  const Step run = ForwardBackward(ProblemOf(Config()));
  reference.Resolve(Fc1Biases(run));
  EXPECT_TRUE(reference.flips().empty());
  EXPECT_TRUE(Agrees(reference, run, run, 1e-14));
}

}  // namespace
}  // namespace sluice
