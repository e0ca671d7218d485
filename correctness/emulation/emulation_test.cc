// The derived bounds of a whole step (correctness/tolerance/stack_errors.h) against the emulated
// GPU kernels: no correct run may exceed them, none may stay far below, and no fault may pass.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/reference/initial_problem.h"
#include "correctness/emulation/emulated_stack.h"
#include "correctness/tolerance/compare.h"
#include "correctness/tolerance/stack_errors.h"
#include "parallel/exec/executor.h"

namespace sluice {
namespace {

using reference::InitialProblemOptions;
using reference::Problem;
using reference::Step;
using reference::Values;

constexpr Precision kPrecisions[] = {Precision::kFloat32, Precision::kTf32, Precision::kBFloat16,
                                     Precision::kFloat16};

StackErrors Analyze(const Problem& problem, Precision precision) {
  return AnalyzeStack(problem, {.precision = precision, .gradient_scale = LossScale(precision)});
}

Step Emulate(const Problem& problem, Precision precision, SumOrder sum_order = SumOrder::kBlocks,
             OperandRounding operand_rounding = OperandRounding::kTruncated) {
  return EmulateStep(problem, {.precision = precision,
                               .sum_order = sum_order,
                               .operand_rounding = operand_rounding,
                               .gradient_scale = LossScale(precision)});
}

using Visit = std::function<void(const std::string&, const Values& actual, const Values& expected)>;

void ForEachTensor(const Step& actual, const Step& expected, const Visit& visit) {
  visit("output", actual.output, expected.output);
  for (size_t i = 0; i < expected.gradients.size(); ++i) {
    for (const auto& [name, values] : expected.gradients[i]) {
      visit("grad." + ParameterName(static_cast<int64_t>(i), name), actual.gradients[i].at(name),
            values);
    }
  }
  visit("grad.input", actual.input_gradient, expected.input_gradient);
}

// Every tensor's error as a share of its bound.
std::vector<double> Used(const StackErrors& errors, const Step& actual, const Step& expected) {
  std::vector<double> used;
  ForEachTensor(actual, expected, [&](const std::string& name, const Values& a, const Values& e) {
    const double bound = errors.RelativeL2(name, e);
    const Comparison comparison =
        CompareTensors<double, double>(name, a, e, {.relative_l2 = bound});
    EXPECT_TRUE(comparison.pass) << ToString(comparison);
    used.push_back(comparison.relative_l2 / bound);
  });
  return used;
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Case {
  InitialProblemOptions options;
  int num_seeds = 1;
};

class Emulated : public testing::TestWithParam<Case> {};

TEST_P(Emulated, StaysWithinTheBoundsInEveryPrecisionAndOrderOfSums) {
  for (const Precision precision : kPrecisions) {
    std::vector<double> used;
    for (int seed = 0; seed < GetParam().num_seeds; ++seed) {
      for (const LossKind loss : {LossKind::kProjection, LossKind::kMean}) {
        InitialProblemOptions options = GetParam().options;
        options.loss = loss;
        options.seed += static_cast<uint64_t>(seed);
        SCOPED_TRACE(std::string(Name(precision)) + " seed " + std::to_string(options.seed) + " " +
                     std::string(Name(loss)));
        const Problem problem = InitialProblem(options);
        const StackErrors errors = Analyze(problem, precision);
        const Step expected = ForwardBackward(problem);
        constexpr SumOrder kOrders[] = {SumOrder::kForward, SumOrder::kBackward, SumOrder::kBlocks};
        const SumOrder order = kOrders[seed % 3];
        const auto rounding =
            seed % 2 == 0 ? OperandRounding::kTruncated : OperandRounding::kToNearest;
        const std::vector<double> more =
            Used(errors, Emulate(problem, precision, order, rounding), expected);
        if (loss == LossKind::kProjection) used.insert(used.end(), more.begin(), more.end());
      }
    }
    // Not vacuous where the sizes are those of a real model: half of all errors are more than a
    // tenth of their bound.  (In float32 a bound that allows for a flip is far from the error of a
    // run where none happened; and few tokens or features make few independent parts.)
    if (GetParam().options.config.hidden_size >= 256 && precision != Precision::kFloat32) {
      EXPECT_GT(Median(used), 0.1) << Name(precision);
    }
    RecordProperty("worst_" + std::string(Name(precision)),
                   std::to_string(*std::max_element(used.begin(), used.end())));
  }
}

// Gradients of parameters in 16 bits, of several micro-batches and slices: right ones stay within
// their bounds, which are not those of float32; and a run whose sums lose a part does not.
TEST(ShortGradients, StayWithinTheirBoundsAndMayNotLoseAPart) {
  for (const auto& [precision, dtype] : {std::pair{Precision::kBFloat16, DType::kBFloat16},
                                         {Precision::kFloat16, DType::kFloat16}}) {
    for (const int64_t num_writes : {1, 6}) {
      for (const LossKind loss : {LossKind::kProjection, LossKind::kMean}) {
        SCOPED_TRACE(std::string(Name(precision)) + " writes " + std::to_string(num_writes) + " " +
                     std::string(Name(loss)));
        const InitialProblemOptions options = {
            .config = {"short", 3, 64, 30, 4}, .batch_size = 6, .loss = loss, .seed = 11};
        const Problem problem = InitialProblem(options);
        const Step expected = ForwardBackward(problem);
        const StackErrors errors = AnalyzeStack(problem, {.precision = precision,
                                                          .gradient_scale = LossScale(precision),
                                                          .grad_dtype = dtype,
                                                          .num_gradient_writes = num_writes});
        Emulation emulation = {.precision = precision,
                               .sum_order = SumOrder::kBlocks,
                               .gradient_scale = LossScale(precision),
                               .grad_dtype = dtype,
                               .num_gradient_writes = num_writes};
        Used(errors, EmulateStep(problem, emulation), expected);

        const std::string bias = "grad.layers.2.fc2.bias";
        const Values& exact = expected.gradients[2].at("fc2.bias");
        EXPECT_GT(errors.RelativeL2(bias, exact),
                  Analyze(problem, precision).RelativeL2(bias, exact));
        Values short_of_a_part = exact;
        for (double& value : short_of_a_part) value *= 1 - 1.0 / 6;
        const Bound bound = {.relative_l2 = errors.RelativeL2(bias, exact)};
        EXPECT_FALSE((CompareTensors<double, double>(bias, short_of_a_part, exact, bound).pass));
      }
    }
  }
}

// Weights that are not drawn: matrices with a few large singular values, as those of trained models
// have, of another scale, and without biases.
void MakeLikeTrained(double scale, Problem& problem) {
  for (reference::NamedValues& layer : problem.weights) {
    for (auto& [name, values] : layer) {
      const bool is_norm = name.find("_ln.") != std::string::npos;
      if (is_norm) continue;
      for (size_t i = 0; i < values.size(); ++i) {
        const double column = static_cast<double>(i % problem.config.hidden_size);
        const bool is_bias = name.ends_with("bias");
        values[i] = is_bias ? 0 : scale * (values[i] * std::exp(-column / 20) + 0.02);
      }
    }
  }
}

// Projections into the residual stream start as zeros in many trainings, and most gradients are
// then exactly 0.
TEST(OtherWeights, MayBeZero) {
  for (const Precision precision : kPrecisions) {
    for (const LossKind loss : {LossKind::kProjection, LossKind::kMean}) {
      SCOPED_TRACE(std::string(Name(precision)) + " " + std::string(Name(loss)));
      Problem problem = reference::InitialProblem(
          {.config = {"zero", 3, 32, 12, 4}, .batch_size = 2, .loss = loss, .seed = 4});
      for (reference::NamedValues& layer : problem.weights) {
        for (const char* name : {"attn.out_proj.weight", "fc2.weight", "fc2.bias"}) {
          std::ranges::fill(layer.at(name), 0.0);
        }
      }
      const StackErrors errors = AnalyzeStack(problem, {.precision = precision,
                                                        .gain = WeightGain::kOfValues,
                                                        .gradient_scale = LossScale(precision)});
      Used(errors, Emulate(problem, precision), ForwardBackward(problem));
    }
  }
}

// The gains of many layers must not multiply until a bound is as large as its tensor.
TEST(OtherWeights, HaveBoundsThatSeeFaultsInDeepStacks) {
  const Problem problem = reference::InitialProblem({.config = {"deep", 24, 64, 16, 4},
                                                     .batch_size = 2,
                                                     .loss = LossKind::kProjection,
                                                     .seed = 8});
  const Step expected = ForwardBackward(problem);
  const StackErrors errors = AnalyzeStack(problem, {.precision = Precision::kFloat32,
                                                    .flips = ReluFlips::kExcluded,
                                                    .gain = WeightGain::kOfValues});
  ForEachTensor(expected, expected, [&](const std::string& name, const Values&, const Values& e) {
    EXPECT_LE(errors.RelativeL2(name, e), 1e-4) << name;
  });
}

TEST(OtherWeights, StayWithinTheirBounds) {
  for (const Precision precision : kPrecisions) {
    for (const double scale : {0.1, 1.0, 3.0}) {
      SCOPED_TRACE(std::string(Name(precision)) + " scale " + std::to_string(scale));
      const InitialProblemOptions options = {.config = {"trained", 6, 64, 40, 4},
                                             .batch_size = 3,
                                             .loss = LossKind::kProjection,
                                             .seed = 31};
      Problem problem = InitialProblem(options);
      MakeLikeTrained(scale, problem);
      const StackErrors errors = AnalyzeStack(problem, {.precision = precision,
                                                        .gain = WeightGain::kOfValues,
                                                        .gradient_scale = LossScale(precision)});
      const std::vector<double> used =
          Used(errors, Emulate(problem, precision), ForwardBackward(problem));
      RecordProperty("worst_" + std::string(Name(precision)) + std::to_string(scale),
                     std::to_string(*std::max_element(used.begin(), used.end())));
    }
  }
}

// Partial products of tensor-parallel ranks: right runs stay within bounds that allow for the
// roundings of the sum over ranks, and these bounds are wider than those of one rank.
TEST(TensorParallel, StaysWithinItsBounds) {
  for (const Precision precision : {Precision::kTf32, Precision::kBFloat16, Precision::kFloat16}) {
    std::vector<double> used;
    for (const int tensor_size : {2, 4, 8}) {
      for (const LossKind loss : {LossKind::kProjection, LossKind::kMean}) {
        SCOPED_TRACE(std::string(Name(precision)) + " ranks " + std::to_string(tensor_size) + " " +
                     std::string(Name(loss)));
        const InitialProblemOptions options = {.config = {"shared", 4, 128, 48, 8},
                                               .batch_size = 2,
                                               .prefix_len = 5,
                                               .loss = loss,
                                               .seed = 21};
        const Problem problem = InitialProblem(options);
        const Step expected = ForwardBackward(problem);
        const StackErrors errors = AnalyzeStack(problem, {.precision = precision,
                                                          .gradient_scale = LossScale(precision),
                                                          .tensor_parallel_size = tensor_size});
        const Step actual = EmulateStep(problem, {.precision = precision,
                                                  .sum_order = SumOrder::kBlocks,
                                                  .operand_rounding = OperandRounding::kToNearest,
                                                  .gradient_scale = LossScale(precision),
                                                  .tensor_parallel_size = tensor_size});
        const std::vector<double> more = Used(errors, actual, expected);
        if (loss == LossKind::kProjection) used.insert(used.end(), more.begin(), more.end());
        EXPECT_GT(errors.RelativeL2("output", expected.output),
                  Analyze(problem, precision).RelativeL2("output", expected.output));
      }
    }
    EXPECT_GT(Median(used), 0.1) << Name(precision);
  }
}

// The emulation of ranks is not that of one: the sum over eight rounds more.
TEST(TensorParallel, ErrsMoreThanOneRank) {
  const InitialProblemOptions options = {.config = {"shared", 2, 128, 64, 8},
                                         .batch_size = 2,
                                         .loss = LossKind::kProjection,
                                         .seed = 22};
  const Problem problem = InitialProblem(options);
  const Step expected = ForwardBackward(problem);
  const auto error = [&](int tensor_size) {
    const Step step = EmulateStep(
        problem, {.precision = Precision::kBFloat16, .tensor_parallel_size = tensor_size});
    return CompareTensors<double, double>("output", step.output, expected.output,
                                          {.relative_l2 = 1})
        .relative_l2;
  };
  EXPECT_GT(error(8), 1.05 * error(1));
}

std::string NameOfCase(const testing::TestParamInfo<Case>& info) {
  return info.param.options.config.name;
}

INSTANTIATE_TEST_SUITE_P(
    Models, Emulated,
    testing::Values(
        Case{{.config = {"odd", 3, 35, 13, 5}, .batch_size = 3, .seed = 100}, 12},
        Case{{.config = {"narrow", 12, 12, 9, 2}, .batch_size = 2, .seed = 200}, 12},
        Case{{.config = {"tiny", 2, 8, 5, 1}, .batch_size = 1, .seed = 300}, 24},
        Case{{.config = {"deep", 24, 64, 17, 4}, .batch_size = 1, .seed = 400}, 3},
        Case{{.config = {"long", 2, 32, 130, 2}, .batch_size = 2, .seed = 500}, 3},
        Case{{.config = {"prefix", 3, 48, 21, 3}, .batch_size = 2, .prefix_len = 11, .seed = 600},
             6},
        // As //correctness/parity:gpu_parity_test.
        Case{{.config = {"gpu_parity", 4, 72, 37, 3}, .batch_size = 6, .prefix_len = 11}, 1},
        Case{{.config = {"wide", 2, 256, 96, 4}, .batch_size = 1, .seed = 700}, 1}),
    NameOfCase);

// A fault that a parallel scheme can have, in an emulated run; `caught_by` is one of the tensors
// that must then exceed its bound.
InitialProblemOptions FaultyOptions() {
  return {.config = {"faulty", 6, 64, 24, 4},
          .batch_size = 8,
          .loss = LossKind::kProjection,
          .seed = 7};
}

std::vector<std::string> Rejected(const StackErrors& errors, const Step& actual,
                                  const Step& expected) {
  std::vector<std::string> rejected;
  ForEachTensor(actual, expected, [&](const std::string& name, const Values& a, const Values& e) {
    const Bound bound = {.relative_l2 = errors.RelativeL2(name, e)};
    if (!CompareTensors<double, double>(name, a, e, bound).pass) {
      rejected.push_back(name);
    }
  });
  return rejected;
}

class Mutant : public testing::TestWithParam<Precision> {
 protected:
  Mutant()
      : problem_(InitialProblem(FaultyOptions())),
        errors_(Analyze(problem_, GetParam())),
        expected_(ForwardBackward(problem_)) {}

  void ExpectCaught(const Step& actual, const std::vector<std::string>& names) {
    const std::vector<std::string> rejected = Rejected(errors_, actual, expected_);
    for (const std::string& name : names) {
      EXPECT_EQ(std::count(rejected.begin(), rejected.end(), name), 1) << name;
    }
  }

  // Each gradient on its own, changed after a right run.
  template <typename Change>
  void ExpectEachChangeCaught(const Change& change) {
    ForEachTensor(
        Emulate(problem_, GetParam()), expected_,
        [&](const std::string& name, const Values& actual, const Values& expected) {
          const Bound bound = {.relative_l2 = errors_.RelativeL2(name, expected)};
          Values changed = actual;
          EXPECT_TRUE((CompareTensors<double, double>(name, changed, expected, bound).pass));
          change(changed);
          EXPECT_FALSE((CompareTensors<double, double>(name, changed, expected, bound).pass))
              << name;
        });
  }

  Problem problem_;
  StackErrors errors_;
  Step expected_;
};

TEST_P(Mutant, ThatDropsALayerIsCaught) {
  for (const size_t dropped : {size_t{0}, size_t{5}}) {
    Problem shallow = problem_;
    shallow.weights.erase(shallow.weights.begin() + static_cast<std::ptrdiff_t>(dropped));
    shallow.config.num_layers -= 1;
    Step step = Emulate(shallow, GetParam());
    step.gradients.insert(step.gradients.begin() + static_cast<std::ptrdiff_t>(dropped),
                          expected_.gradients[dropped]);
    ExpectCaught(step, {"output", "grad.input", "grad.layers.2.fc1.weight"});
  }
}

void SwapHalves(Values& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::swap_ranges(values.begin(), middle, middle);
}

TEST_P(Mutant, ThatSwapsSlicesOfTheInputOrTheGradientIsCaught) {
  Problem swapped = problem_;
  SwapHalves(swapped.input);
  ExpectCaught(Emulate(swapped, GetParam()),
               {"output", "grad.input", "grad.layers.0.attn.in_proj.weight"});
  swapped = problem_;
  SwapHalves(swapped.projection);
  ExpectCaught(Emulate(swapped, GetParam()),
               {"grad.input", "grad.layers.0.attn.in_proj.weight", "grad.layers.5.fc2.weight"});
}

TEST_P(Mutant, ThatUsesAStaleBufferIsCaught) {
  InitialProblemOptions other = FaultyOptions();
  other.seed += 1;
  Problem stale = problem_;
  stale.input = InitialProblem(other).input;
  const Step step = Emulate(stale, GetParam());
  ExpectCaught(step, {"output", "grad.layers.3.fc1.weight"});
}

// One of eight sequences does not reach the gradients: a micro-batch that is lost.
TEST_P(Mutant, ThatLosesOneSequenceOfEightIsCaught) {
  Problem lossy = problem_;
  const int64_t row_size = problem_.config.hidden_size;
  for (int64_t t = 0; t < problem_.config.seq_len; ++t) {
    const auto row = lossy.projection.begin() + (t * problem_.batch_size + 3) * row_size;
    std::fill(row, row + row_size, 0.0);
  }
  std::vector<std::string> names = {"grad.input"};
  for (const auto& [name, values] : expected_.gradients[0]) {
    for (int layer = 0; layer < 6; ++layer) names.push_back("grad." + ParameterName(layer, name));
  }
  ExpectCaught(Emulate(lossy, GetParam()), names);
}

TEST_P(Mutant, ThatHasANanOrIsZeroOrHalfAsLargeAgainIsCaught) {
  ExpectEachChangeCaught(
      [](Values& values) { values[values.size() / 2] = std::numeric_limits<double>::quiet_NaN(); });
  ExpectEachChangeCaught([](Values& values) { std::fill(values.begin(), values.end(), 0.0); });
  ExpectEachChangeCaught([](Values& values) {
    for (double& value : values) value *= 1.5;
  });
}

// Scaling all gradients is seen first where the least has been rounded: in the bias of the last
// layer, which sums the gradient of the loss over tokens.  A bound of b sees all scales from
// 1 + 2 b on; a hundredth is twice the most that any precision's is.
TEST_P(Mutant, ThatScalesTheGradientOfTheLossByAHundredthIsCaught) {
  Problem scaled = problem_;
  for (double& value : scaled.projection) value *= 1.01;
  ExpectCaught(Emulate(scaled, GetParam()), {"grad.layers.5.fc2.bias"});
  const double bound =
      errors_.RelativeL2("grad.layers.5.fc2.bias", expected_.gradients[5].at("fc2.bias"));
  EXPECT_LE(2 * bound, 0.01);
}

std::string NameOfPrecision(const testing::TestParamInfo<Precision>& info) {
  return std::string(Name(info.param));
}

INSTANTIATE_TEST_SUITE_P(Precisions, Mutant, testing::ValuesIn(kPrecisions), NameOfPrecision);

}  // namespace
}  // namespace sluice
