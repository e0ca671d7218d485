#include "correctness/tolerance/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/check.h"

namespace sluice {
namespace {

double BoundOf(const Bound& bound, size_t element) {
  if (bound.elementwise.empty()) return std::numeric_limits<double>::infinity();
  return bound.elementwise[bound.elementwise.size() == 1 ? 0 : element];
}

// How many times its bound an error is, for ranking only.
double Multiple(double error, double bound) {
  if (std::isnan(error) || std::isnan(bound)) return std::numeric_limits<double>::infinity();
  if (error == 0) return 0;
  return std::isinf(bound) ? error * std::numeric_limits<double>::min() : error / bound;
}

}  // namespace

template <typename Actual, typename Expected>
Comparison CompareTensors(std::string_view name, std::span<const Actual> actual,
                          std::span<const Expected> expected, const Bound& bound) {
  SLUICE_CHECK_EQ(actual.size(), expected.size());
  if (bound.elementwise.size() > 1) SLUICE_CHECK_EQ(bound.elementwise.size(), expected.size());
  Comparison result{.name = std::string(name), .relative_l2_bound = bound.relative_l2};
  bool pass = true;
  double squared_error = 0, squared_norm = 0, worst_multiple = -1;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double want = static_cast<double>(expected[i]);
    const double error = std::abs(static_cast<double>(actual[i]) - want);
    const double allowed = BoundOf(bound, i);
    squared_error += error * error;
    squared_norm += want * want;
    if (!(error <= allowed)) pass = false;
    // Infinite errors satisfy an infinite bound; no result may hold one.
    if (!std::isfinite(error)) pass = false;
    const double multiple = Multiple(error, allowed);
    if (multiple > worst_multiple) {
      worst_multiple = multiple;
      result.worst_index = static_cast<int64_t>(i);
      result.worst_error = error;
      result.worst_bound = allowed;
    }
  }
  result.relative_l2 = squared_error == 0 ? 0 : std::sqrt(squared_error) / std::sqrt(squared_norm);
  if (!(result.relative_l2 <= bound.relative_l2)) pass = false;
  result.pass = pass;
  return result;
}

template Comparison CompareTensors(std::string_view, std::span<const double>,
                                   std::span<const double>, const Bound&);
template Comparison CompareTensors(std::string_view, std::span<const float>,
                                   std::span<const double>, const Bound&);
template Comparison CompareTensors(std::string_view, std::span<const double>,
                                   std::span<const float>, const Bound&);
template Comparison CompareTensors(std::string_view, std::span<const float>, std::span<const float>,
                                   const Bound&);

double ShareOfBound(const Comparison& comparison) {
  const bool has_l2_bound = std::isfinite(comparison.relative_l2_bound);
  const double error = has_l2_bound ? comparison.relative_l2 : comparison.worst_error;
  const double bound = has_l2_bound ? comparison.relative_l2_bound : comparison.worst_bound;
  return error == 0 ? 0 : error / bound;
}

std::string ToString(const Comparison& comparison) {
  std::string text = fmt::format("{}: relative L2 {:.2e}, bound {:.2e}", comparison.name,
                                 comparison.relative_l2, comparison.relative_l2_bound);
  if (comparison.worst_index >= 0) {
    text += fmt::format("; worst element {}: {:.2e}, bound {:.2e}", comparison.worst_index,
                        comparison.worst_error, comparison.worst_bound);
  }
  if (!comparison.note.empty()) text += "; " + comparison.note;
  return text + (comparison.pass ? "" : "  FAIL");
}

namespace {

constexpr Perturbation kPerturbations[] = {Perturbation::kScaled, Perturbation::kOneElement,
                                           Perturbation::kSwappedParts, Perturbation::kZeroed,
                                           Perturbation::kNan};

size_t IndexOfMedianMagnitude(std::span<const double> values) {
  std::vector<size_t> indices(values.size());
  std::iota(indices.begin(), indices.end(), size_t{0});
  const auto median = indices.begin() + static_cast<std::ptrdiff_t>(indices.size() / 2);
  std::nth_element(indices.begin(), median, indices.end(),
                   [&](size_t a, size_t b) { return std::abs(values[a]) < std::abs(values[b]); });
  return *median;
}

}  // namespace

std::string_view Name(Perturbation perturbation) {
  switch (perturbation) {
    case Perturbation::kScaled:
      return "scaled by 1.001";
    case Perturbation::kOneElement:
      return "one element negated";
    case Perturbation::kSwappedParts:
      return "halves swapped";
    case Perturbation::kZeroed:
      return "all zero";
    case Perturbation::kNan:
      return "one NaN";
  }
  SLUICE_CHECK(false);
  return "";
}

std::vector<double> Perturbed(std::span<const double> values, Perturbation perturbation) {
  SLUICE_CHECK(!values.empty());
  std::vector<double> result(values.begin(), values.end());
  const size_t half = result.size() / 2;
  switch (perturbation) {
    case Perturbation::kScaled:
      for (double& value : result) value *= 1.001;
      break;
    case Perturbation::kOneElement:
      result[IndexOfMedianMagnitude(values)] *= -1;
      break;
    case Perturbation::kSwappedParts:
      std::swap_ranges(result.begin(), result.begin() + static_cast<std::ptrdiff_t>(half),
                       result.end() - static_cast<std::ptrdiff_t>(half));
      break;
    case Perturbation::kZeroed:
      std::fill(result.begin(), result.end(), 0.0);
      break;
    case Perturbation::kNan:
      result[half] = std::numeric_limits<double>::quiet_NaN();
      break;
  }
  return result;
}

std::vector<Perturbation> UndetectedPerturbations(std::span<const double> expected,
                                                  const Bound& bound) {
  std::vector<Perturbation> undetected;
  for (const Perturbation perturbation : kPerturbations) {
    const std::vector<double> perturbed = Perturbed(expected, perturbation);
    if (std::equal(perturbed.begin(), perturbed.end(), expected.begin())) continue;
    if (CompareTensors<double, double>("", perturbed, expected, bound).pass) {
      undetected.push_back(perturbation);
    }
  }
  return undetected;
}

}  // namespace sluice
