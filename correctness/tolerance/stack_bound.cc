#include "correctness/tolerance/stack_bound.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "correctness/tolerance/error_model.h"

namespace sluice {
namespace {

struct Counts {
  int64_t reduction_terms;
  int64_t reductions;
  int64_t stored_tensors;
  int64_t matrix_products;
};

double MeanSquare(const Counts& counts, const Arithmetic& arithmetic) {
  const auto square = [](double x) { return x * x; };
  return square(arithmetic.accumulation) *
             static_cast<double>(counts.reduction_terms + counts.reductions) +
         (square(arithmetic.storage) + square(arithmetic.intermediate)) *
             static_cast<double>(counts.stored_tensors) +
         square(2 * arithmetic.operand) * static_cast<double>(counts.matrix_products);
}

double ForwardMeanSquare(const ModelConfig& config, const Arithmetic& arithmetic) {
  const int64_t h = config.hidden_size;
  const Counts counts{
      .reduction_terms =
          3 * h + 4 * h + config.ffn_hidden_size() + config.head_dim() + 2 * config.seq_len,
      .reductions = 3 + 4 + 1 + 1 + 2,
      .stored_tensors = 7,
      .matrix_products = 6,
  };
  return static_cast<double>(config.num_layers) * MeanSquare(counts, arithmetic);
}

double BackwardMeanSquare(const ModelConfig& config, const Arithmetic& arithmetic) {
  const int64_t h = config.hidden_size;
  const Counts counts{
      .reduction_terms = 3 * h + h + config.ffn_hidden_size() + h + 4 * h + 2 * config.head_dim() +
                         2 * config.seq_len,
      .reductions = 4 + 4 + 2 + 2,
      .stored_tensors = 7,
      .matrix_products = 10,
  };
  return static_cast<double>(config.num_layers) * MeanSquare(counts, arithmetic);
}

double Concentration(int64_t independent_parts) {
  const double ratio = std::log(2 / kFailureProbability) / static_cast<double>(independent_parts);
  return std::sqrt(1 + 2 * std::sqrt(ratio) + 2 * ratio);
}

}  // namespace

double DemandedRelativeL2(Precision precision) {
  if (precision == Precision::kFloat64) return 1e-12;
  if (precision == Precision::kFloat32) return 2e-5;
  return std::numeric_limits<double>::infinity();
}

double StackRelativeL2(const ModelConfig& config, int64_t batch_size, Precision precision,
                       StackTensor tensor) {
  const Arithmetic arithmetic = ArithmeticOf(precision);
  const int64_t num_tokens = config.seq_len * batch_size;
  double mean_square = ForwardMeanSquare(config, arithmetic);
  int64_t independent_parts = num_tokens;
  if (tensor != StackTensor::kActivation) mean_square += BackwardMeanSquare(config, arithmetic);
  if (tensor == StackTensor::kParameterGradient) {
    mean_square += MeanSquare(
        {.reduction_terms = num_tokens, .reductions = 1, .stored_tensors = 0, .matrix_products = 1},
        arithmetic);
    independent_parts = config.hidden_size;
  }
  return std::min(std::sqrt(mean_square) * Concentration(independent_parts),
                  DemandedRelativeL2(precision));
}

double StackLossBound(const ModelConfig& config, int64_t batch_size, Precision precision,
                      const LossMagnitudes& magnitudes) {
  const double num_elements =
      static_cast<double>(config.seq_len * batch_size) * static_cast<double>(config.hidden_size);
  const double own_sum = std::sqrt(2 * std::log(2 / kFailureProbability)) *
                         ArithmeticOf(precision).accumulation * std::sqrt(num_elements + 1);
  const double output = StackRelativeL2(config, batch_size, precision, StackTensor::kActivation);
  return (output + own_sum) * magnitudes.z_norm * magnitudes.r_norm / num_elements;
}

}  // namespace sluice
