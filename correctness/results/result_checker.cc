#include "correctness/results/result_checker.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/model/initial_values.h"
#include "correctness/tolerance/stack_bound.h"

namespace sluice {
namespace {

double Norm(std::span<const double> values) {
  double squares = 0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares);
}

StackTensor KindOf(const std::string& name) {
  if (name == "output") return StackTensor::kActivation;
  if (name == "grad.input") return StackTensor::kActivationGradient;
  SLUICE_CHECK(name.starts_with("grad.layers."));
  return StackTensor::kParameterGradient;
}

double ProjectionNorm(const JobConfig& config) {
  const int64_t size = config.model.seq_len * config.batch_size * config.model.hidden_size;
  if (config.loss == LossKind::kMean) return std::sqrt(static_cast<double>(size));
  std::vector<double> projection(static_cast<size_t>(size));
  FillProjection<double>(config.seed, 0, projection);
  return Norm(projection);
}

}  // namespace

ResultChecker::ResultChecker(CheckedRun run) : run_(std::move(run)) {}

Bound ResultChecker::BoundOf(const std::string& name, std::span<const double> expected) {
  const JobConfig& config = run_.config;
  ModelConfig model = config.model;
  model.seq_len += config.prefix_len;
  const Precision precisions[] = {config.precision, run_.reference_precision};
  if (name == "output") output_norm_ = Norm(expected);
  if (name == "loss") {
    const LossMagnitudes magnitudes = {output_norm_, ProjectionNorm(config)};
    double bound = 0;
    for (const Precision precision : precisions) {
      bound += StackLossBound(model, config.batch_size, precision, magnitudes);
    }
    return {.relative_l2 = std::numeric_limits<double>::infinity(), .elementwise = {bound}};
  }
  double bound = 0, demanded = 0;
  for (const Precision precision : precisions) {
    bound += StackRelativeL2(model, config.batch_size, precision, KindOf(name));
    demanded = std::max(demanded, DemandedRelativeL2(precision));
  }
  bound = std::min(bound, demanded);
  return {.relative_l2 = bound, .elementwise = {bound * Norm(expected)}};
}

Comparison ResultChecker::Check(const std::string& name, std::span<const double> actual,
                                std::span<const double> expected) {
  return CompareTensors<double, double>(name, actual, expected, BoundOf(name, expected));
}

}  // namespace sluice
