#include "correctness/results/flipped_reference.h"

#include <cmath>
#include <tuple>
#include <utility>

#include "core/base/check.h"
#include "correctness/results/run_problem.h"

namespace sluice {
namespace {

// A flip changes the gradients below it, and so what is left for others to explain, by a few
// percent of itself: the second round is nearly always the last.
constexpr int kMaxRounds = 4;

// More flips of one unit than this are not told apart: all subsets are tried.
constexpr size_t kMaxFlipsOfUnit = 10;

std::string GradientName(int64_t layer, const std::string& parameter) {
  return "grad." + ParameterName(layer, parameter);
}

const reference::Values& Find(const reference::Step& step, const std::string& name) {
  if (name == "grad.input") return step.input_gradient;
  for (size_t layer = 0; layer < step.gradients.size(); ++layer) {
    for (const auto& [parameter, values] : step.gradients[layer]) {
      if (GradientName(static_cast<int64_t>(layer), parameter) == name) return values;
    }
  }
  SLUICE_CHECK(false);
  return step.input_gradient;
}

}  // namespace

FlippedReference::FlippedReference(const JobConfig& config, const InitialValues* values)
    : problem_(ProblemOf(config, values)),
      possible_(AnalyzeStack(problem_, {.precision = Precision::kFloat32}).possible_flips()),
      is_flipped_(possible_.size()),
      plain_(ForwardBackward(problem_)),
      step_(plain_) {}

void FlippedReference::Resolve(
    const std::map<std::string, std::vector<double>>& fc1_bias_gradients) {
  for (int round = 0; round < kMaxRounds && Toggle(fc1_bias_gradients); ++round) {
    problem_.flips.clear();
    for (size_t i = 0; i < possible_.size(); ++i) {
      if (is_flipped_[i]) problem_.flips.push_back(possible_[i].flip);
    }
    step_ = ForwardBackward(problem_);
  }
}

// For each unit, toggles those of its possible flips whose changes come closest to what its bias's
// gradient is off by.
bool FlippedReference::Toggle(
    const std::map<std::string, std::vector<double>>& fc1_bias_gradients) {
  const int64_t ffn_hidden_size = problem_.config.ffn_hidden_size();
  std::map<std::pair<int64_t, int64_t>, std::vector<size_t>> units;
  for (size_t i = 0; i < possible_.size(); ++i) {
    const reference::ReluFlip& flip = possible_[i].flip;
    units[{flip.layer, flip.element % ffn_hidden_size}].push_back(i);
  }
  bool has_toggled = false;
  for (const auto& [unit, flips] : units) {
    const auto [layer, feature] = unit;
    if (flips.size() > kMaxFlipsOfUnit) continue;
    const double off = fc1_bias_gradients.at(GradientName(layer, "fc1.bias"))[feature] -
                       step_.gradients[layer].at("fc1.bias")[feature];
    uint32_t best = 0;
    double best_rest = std::abs(off);
    for (uint32_t subset = 1; subset < 1u << flips.size(); ++subset) {
      double rest = off;
      for (size_t i = 0; i < flips.size(); ++i) {
        const double change = possible_[flips[i]].change;
        if (subset >> i & 1) rest -= is_flipped_[flips[i]] ? -change : change;
      }
      if (std::abs(rest) < best_rest) std::tie(best, best_rest) = std::pair(subset, std::abs(rest));
    }
    for (size_t i = 0; i < flips.size(); ++i) {
      if (best >> i & 1) is_flipped_[flips[i]] = !is_flipped_[flips[i]];
    }
    has_toggled = has_toggled || best != 0;
  }
  return has_toggled;
}

std::vector<double> FlippedReference::Apply(const std::string& name,
                                            std::span<const double> expected) const {
  const reference::Values& flipped = Find(step_, name);
  const reference::Values& plain = Find(plain_, name);
  SLUICE_CHECK_EQ(expected.size(), plain.size());
  std::vector<double> values(expected.begin(), expected.end());
  for (size_t i = 0; i < values.size(); ++i) values[i] += flipped[i] - plain[i];
  return values;
}

}  // namespace sluice
