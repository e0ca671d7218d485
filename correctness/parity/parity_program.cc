// Compares one configuration, given by the flags of //programs:job_flags, with core/reference: all
// results, in float64 and float32, under both losses.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/cli/main.h"
#include "correctness/parity/machines.h"
#include "correctness/parity/parity_run.h"
#include "correctness/results/result_checker.h"
#include "programs/job_flags.h"

namespace sluice {
namespace {

void PrintWorst(const std::vector<Comparison>& comparisons) {
  const auto worst = std::max_element(
      comparisons.begin(), comparisons.end(), [](const Comparison& a, const Comparison& b) {
        return a.relative_l2 / a.relative_l2_bound < b.relative_l2 / b.relative_l2_bound;
      });
  fmt::print("{} tensors; nearest to its bound: {}\n", comparisons.size(), ToString(*worst));
}

// The comparison must be able to fail, on every tensor.  The one exception is the loss in
// float32: a sum that cancels, so that a thousandth of it may be less than its rounding error.
void ExpectSharp(const JobConfig& config, const std::vector<ResultTensor>& expected) {
  ResultChecker checker({.config = config, .reference_precision = Precision::kFloat64});
  for (const ResultTensor& tensor : expected) {
    const Bound bound = checker.BoundOf(tensor.name, tensor.values);
    for (const Perturbation undetected : UndetectedPerturbations(tensor.values, bound)) {
      const bool is_small_sum = tensor.name == "loss" && config.precision == Precision::kFloat32;
      if (is_small_sum && undetected == Perturbation::kScaled) continue;
      ADD_FAILURE() << tensor.name << ": would not be seen: " << Name(undetected);
    }
  }
}

void ExpectParity(LossKind loss, Pass pass, const std::vector<Precision>& precisions) {
  JobConfig config = JobFromFlags().config;
  config.loss = loss;
  config.pass = pass;
  const std::vector<ResultTensor> expected = ReferenceResults(config);
  for (const Precision precision : precisions) {
    SCOPED_TRACE(Name(precision));
    config.precision = precision;
    const std::vector<Comparison> comparisons =
        CompareResults(config, RunAsThreads(config, CpuMachine()), expected);
    for (const Comparison& comparison : comparisons) {
      EXPECT_TRUE(comparison.pass) << ToString(comparison);
    }
    PrintWorst(comparisons);
    ExpectSharp(config, expected);
  }
}

TEST(Parity, OfTheProjectionLoss) {
  ExpectParity(LossKind::kProjection, Pass::kStep, {Precision::kFloat64, Precision::kFloat32});
}

TEST(Parity, OfTheMeanLoss) {
  ExpectParity(LossKind::kMean, Pass::kStep, {Precision::kFloat64, Precision::kFloat32});
}

TEST(Parity, OfTheForwardAlone) {
  ExpectParity(LossKind::kProjection, Pass::kForward, {Precision::kFloat64});
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return sluice::Main(argc, argv,
                      {.purpose = "Proves that one configuration computes what the reference does.",
                       .example = "bazel test //correctness/parity/..."},
                      [] { return RUN_ALL_TESTS(); });
}
