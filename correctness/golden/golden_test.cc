#include "correctness/golden/golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace sluice {
namespace {

TEST(Golden, FixturesCoverWhatTheyShould) {
  std::set<int64_t> head_dims_without_prefix, head_dims_with_prefix;
  bool has_batch = false, has_mean = false, has_projection = false;
  const std::vector<Golden> goldens = ReadGoldens();
  EXPECT_EQ(goldens.size(), 11u);
  for (const Golden& golden : goldens) {
    const reference::InitialProblemOptions& options = golden.options;
    (options.prefix_len > 0 ? head_dims_with_prefix : head_dims_without_prefix)
        .insert(options.config.head_dim());
    has_batch |= options.batch_size > 1;
    has_mean |= options.loss == LossKind::kMean;
    has_projection |= options.loss == LossKind::kProjection;
    // output, loss, grad.input, and at least one tensor for each parameter.
    EXPECT_GE(golden.tensors.size(),
              3u + static_cast<size_t>(kNumLayerParameters * options.config.num_layers));
  }
  EXPECT_EQ(head_dims_without_prefix, (std::set<int64_t>{5, 16, 64, 96, 128}));
  EXPECT_EQ(head_dims_with_prefix, (std::set<int64_t>{5, 16, 64, 80, 96, 128}));
  EXPECT_TRUE(has_batch && has_mean && has_projection);
}

TEST(Golden, ReferenceAgreesWithPyTorch) {
  for (const Golden& golden : ReadGoldens()) {
    const reference::Step step = ForwardBackward(InitialProblem(golden.options));
    for (const Comparison& comparison : CompareWithGolden(golden, step, Precision::kFloat64)) {
      EXPECT_TRUE(comparison.pass) << ToString(comparison);
    }
  }
}

// Every fixture must see each fault in each layer, also where it holds products of gradients only.
TEST(Golden, ComparisonSeesEveryFault) {
  constexpr Perturbation kFaults[] = {Perturbation::kScaled, Perturbation::kOneElement,
                                      Perturbation::kSwappedParts, Perturbation::kZeroed,
                                      Perturbation::kNan};
  for (const Golden& golden : ReadGoldens()) {
    const reference::Step good = ForwardBackward(InitialProblem(golden.options));
    for (const Perturbation fault : kFaults) {
      reference::Step step = good;
      reference::Values& gradient = step.gradients.back().at("fc1.weight");
      gradient = Perturbed(gradient, fault);
      const std::vector<Comparison> comparisons =
          CompareWithGolden(golden, step, Precision::kFloat64);
      EXPECT_TRUE(std::any_of(comparisons.begin(), comparisons.end(),
                              [](const Comparison& comparison) { return !comparison.pass; }))
          << golden.name << ": " << Name(fault);
    }
  }
}

}  // namespace
}  // namespace sluice
