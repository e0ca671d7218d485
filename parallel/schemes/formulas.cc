#include "parallel/schemes/formulas.h"

#include "parallel/schemes/schemes.h"

namespace sluice {
namespace {

double SplitIdleTime(int num_ranks, int units_of_micro_batch, const MicroBatchTimes& times) {
  return (num_ranks - 1) * (times.forward + times.input_gradient - times.weight_gradient) /
         units_of_micro_batch;
}

}  // namespace

std::optional<double> FormulaIdleTime(const Scheme& scheme, const ScheduleShape& shape,
                                      const MicroBatchTimes& times) {
  const int p = shape.num_ranks;
  const int units_of_micro_batch = shape.num_slices * NumStages(scheme, shape) / p;
  const bool is_weight_short =
      times.weight_gradient <= times.forward && times.weight_gradient <= times.input_gradient;
  const bool fills_pipeline = (shape.num_micro_batches - 1) * units_of_micro_batch >= p - 1;
  const bool is_balanced = times.forward == times.input_gradient;
  switch (scheme.idle_formula) {
    case IdleFormula::kNone:
      return std::nullopt;
    case IdleFormula::kWhole:
      return (p - 1) * times.total() / units_of_micro_batch;
    case IdleFormula::kSplit:
      if (!is_weight_short || !fills_pipeline) return std::nullopt;
      return SplitIdleTime(p, units_of_micro_batch, times);
    case IdleFormula::kSplitBalanced:
      if (!is_weight_short || !is_balanced) return std::nullopt;
      return SplitIdleTime(p, units_of_micro_batch, times);
  }
  return std::nullopt;
}

}  // namespace sluice
