#include "correctness/results/result_checker.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/model/initial_values.h"
#include "correctness/results/run_problem.h"
#include "correctness/tolerance/error_model.h"
#include "correctness/tolerance/number_format.h"
#include "correctness/tolerance/stack_bound.h"
#include "parallel/exec/executor.h"

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

}  // namespace

ResultChecker::ResultChecker(CheckedRun run) : run_(std::move(run)) {
  CheckHiddenSize(run_.config.model);
}

void ResultChecker::CheckHiddenSize(const ModelConfig& model) {
  if (model.hidden_size > 1) return;
  throw Error(
      "hidden_size 1 cannot be checked: a layer norm of one feature is its bias, whatever it "
      "reads; at least 2 are needed");
}

bool MayFlip(const CheckedRun& run) {
  return run.config.precision == Precision::kFloat32 &&
         run.reference_precision == Precision::kFloat64;
}

bool ResultChecker::IsAnalysed(Precision precision) const {
  return (precision != Precision::kFloat64 && precision != Precision::kFloat32) ||
         run_.config.model.hidden_size < kMinHiddenSizeOfStackBound || run_.values != nullptr;
}

bool ResultChecker::IsAnalysed() const {
  return IsAnalysed(run_.config.precision) || IsAnalysed(run_.reference_precision);
}

int64_t ResultChecker::HostBytes(const CheckedRun& run) {
  if (!ResultChecker(run).IsAnalysed()) return 0;
  ModelConfig model = run.config.model;
  model.seq_len += run.config.prefix_len;
  return StackAnalysisBytes(model, run.config.batch_size);
}

double ResultChecker::ProjectionNorm() const {
  const JobConfig& config = run_.config;
  const int64_t size = config.model.seq_len * config.batch_size * config.model.hidden_size;
  if (config.loss == LossKind::kMean) return std::sqrt(static_cast<double>(size));
  std::vector<double> projection(static_cast<size_t>(size));
  if (run_.values != nullptr) {
    run_.values->Projection(0, projection);
  } else {
    FillProjection<double>(config.seed, 0, projection);
  }
  return Norm(projection);
}

// Relative norm of what rounding to the file's element type may be, where that is narrower than
// what results are computed in.
double ResultChecker::StoredRounding(const std::string& name,
                                     std::span<const double> expected) const {
  if (!run_.stored_type) return 0;
  const DType stored = run_.stored_type(name);
  if (UnitRoundoff(stored) <= UnitRoundoff(AccumulatorDType(run_.reference_precision))) return 0;
  const double norm = Norm(expected);
  return norm == 0 ? 0 : std::sqrt(RoundingSquaresOf(FormatOf(stored), expected).all) / norm;
}

const StackErrors& ResultChecker::ErrorsOf(Precision precision) {
  const auto found = errors_.find(precision);
  if (found != errors_.end()) return found->second;
  if (run_.on_analysis) run_.on_analysis(precision);
  const JobConfig& config = run_.config;
  const reference::Problem problem = ProblemOf(config, run_.values);
  StackRounding rounding = {.precision = precision, .gradient_scale = LossScale(precision)};
  if (run_.values != nullptr) {
    rounding.gain = WeightGain::kOfValues;
    if (MayFlip(run_)) rounding.flips = ReluFlips::kExcluded;
  }
  if (precision == config.precision) rounding.tensor_parallel_size = config.sizes.tensor;
  const DType grad_dtype = GradDType(config);
  // A reference keeps its gradients in the accumulator type.
  if (precision == config.precision && grad_dtype != AccumulatorDType(precision)) {
    rounding.grad_dtype = grad_dtype;
    const int64_t num_slices = std::max<int64_t>(1, static_cast<int64_t>(config.slices.size()));
    rounding.num_gradient_writes = num_slices * config.num_micro_batches * config.sizes.data;
  }
  return errors_.emplace(precision, AnalyzeStack(problem, rounding)).first->second;
}

// The loss sums z r / numel.  Of an analysed precision the error of z does not know r, whose
// elements are standard normal: the sum of their products is normal, with the norm of the error for
// deviation.  Of the mean, and otherwise, by Cauchy and Schwarz.
Bound ResultChecker::LossBound() const {
  const JobConfig& config = run_.config;
  ModelConfig model = config.model;
  model.seq_len += config.prefix_len;
  const double r_norm = ProjectionNorm();
  const auto numel =
      static_cast<double>(config.model.seq_len * config.batch_size * config.model.hidden_size);
  const double lambda = std::sqrt(2 * std::log(2 / kFailureProbability));
  double bound = 0;
  for (const Precision precision : {run_.config.precision, run_.reference_precision}) {
    if (!IsAnalysed(precision)) {
      bound += StackLossBound(model, config.batch_size, precision, {output_norm_, r_norm});
      continue;
    }
    const bool is_normal = config.loss == LossKind::kProjection && run_.values == nullptr;
    const double factor = is_normal ? lambda : r_norm;
    const double own_sum = lambda * ArithmeticOf(precision).accumulation * r_norm;
    bound += (output_bound_.at(precision) * factor + own_sum) * output_norm_ / numel;
  }
  return {.relative_l2 = std::numeric_limits<double>::infinity(), .elementwise = {bound}};
}

Bound ResultChecker::BoundOf(const std::string& name, std::span<const double> expected) {
  if (name == "loss") {
    Bound bound = LossBound();
    bound.elementwise.front() += StoredRounding(name, expected) * Norm(expected);
    return bound;
  }
  const JobConfig& config = run_.config;
  ModelConfig model = config.model;
  model.seq_len += config.prefix_len;
  if (name == "output") output_norm_ = Norm(expected);
  double bound = 0, demanded = 0;
  for (const Precision precision : {run_.config.precision, run_.reference_precision}) {
    if (!IsAnalysed(precision)) {
      demanded = std::max(demanded, DemandedRelativeL2(precision));
      bound += StackRelativeL2(model, config.batch_size, precision, KindOf(name));
      continue;
    }
    demanded = std::numeric_limits<double>::infinity();
    const double analysed = ErrorsOf(precision).RelativeL2(name, expected);
    if (name == "output") output_bound_[precision] = analysed;
    bound += analysed;
  }
  bound = std::min(bound, demanded) + StoredRounding(name, expected);
  return {.relative_l2 = bound, .elementwise = {bound * Norm(expected)}};
}

Comparison ResultChecker::Check(const std::string& name, std::span<const double> actual,
                                std::span<const double> expected) {
  return CompareTensors<double, double>(name, actual, expected, BoundOf(name, expected));
}

}  // namespace sluice
