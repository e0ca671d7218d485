#include "correctness/tolerance/error_model.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace sluice {

Arithmetic ArithmeticOf(Precision precision) {
  const double f32 = UnitRoundoff(DType::kFloat32);
  const double storage = UnitRoundoff(StorageDType(precision));
  switch (precision) {
    case Precision::kFloat64:
      return {.accumulation = storage,
              .storage = storage,
              .weight_gradient = storage,
              .underflow = 0x1p-1022};
    case Precision::kFloat32:
      return {.accumulation = f32, .storage = f32, .weight_gradient = f32, .underflow = 0x1p-126};
    case Precision::kTf32:
      return {.accumulation = 2 * f32,
              .storage = f32,
              .weight_gradient = f32,
              .operand = 0x1p-10,
              .underflow = 0x1p-126};
    case Precision::kBFloat16:
      return {.accumulation = 2 * f32,
              .storage = storage,
              .weight_gradient = f32,
              .intermediate = storage,
              .underflow = 0x1p-126};
    case Precision::kFloat16:
      return {.accumulation = 2 * f32,
              .storage = storage,
              .weight_gradient = f32,
              .intermediate = storage,
              .underflow = 0x1p-25};
  }
  SLUICE_CHECK(false);
  return {};
}

Expectation Exactly(std::vector<double> values) {
  Expectation expectation;
  expectation.deviation.resize(values.size());
  expectation.certain.resize(values.size());
  expectation.values = std::move(values);
  return expectation;
}

Bound BoundOf(const Expectation& expectation) {
  const size_t size = expectation.values.size();
  SLUICE_CHECK_EQ(expectation.deviation.size(), size);
  SLUICE_CHECK_EQ(expectation.certain.size(), size);
  SLUICE_CHECK_GE(expectation.group_size, 1);
  const auto group_size = static_cast<size_t>(expectation.group_size);
  const double lambda =
      std::sqrt(2 * std::log(4 * static_cast<double>(size) / kFailureProbability));
  const double t = std::log(2 / kFailureProbability);
  Bound bound;
  double trace = 0, trace_of_square = 0, largest_group = 0, certain = 0, norm = 0;
  for (size_t begin = 0; begin < size; begin += group_size) {
    double group = 0;
    for (size_t i = begin; i < std::min(begin + group_size, size); ++i) {
      const double deviation = expectation.deviation[i];
      bound.elementwise.push_back(lambda * deviation + expectation.certain[i]);
      group += deviation * deviation;
      certain += expectation.certain[i] * expectation.certain[i];
      norm += expectation.values[i] * expectation.values[i];
    }
    trace += group;
    trace_of_square += group * group;
    largest_group = std::max(largest_group, group);
  }
  const double random = trace + 2 * std::sqrt(t * trace_of_square) + 2 * t * largest_group;
  bound.relative_l2 = (std::sqrt(random) + std::sqrt(certain)) / std::sqrt(norm);
  return bound;
}

}  // namespace sluice
