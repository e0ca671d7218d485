#include "parallel/schemes/formulas.h"

namespace sluice {

std::optional<double> FormulaIdleTime(const Scheme& scheme, const ScheduleShape& shape,
                                      const MicroBatchTimes& times) {
  const std::string_view name = scheme.name;
  const int p = shape.num_ranks;
  const int units_of_micro_batch = shape.num_slices * shape.num_chunks;
  const double split = times.forward + times.input_gradient - times.weight_gradient;
  const bool is_weight_short =
      times.weight_gradient <= times.forward && times.weight_gradient <= times.input_gradient;
  const bool fills_pipeline =
      shape.num_micro_batches * units_of_micro_batch >= units_of_micro_batch + p - 1;
  if (name == "single") return 0;
  if (name == "gpipe" || name == "one_f_one_b" || name == "interleaved_one_f_one_b" ||
      name == "seqpipe" || name == "seq_one_f_one_b" || name == "seq_interleaved") {
    return (p - 1) * times.total() / units_of_micro_batch;
  }
  if (name == "zero_bubble_h1" || name == "seq_zero_bubble_h1" ||
      name == "seq_interleaved_zero_bubble") {
    if (!is_weight_short || !fills_pipeline) return std::nullopt;
    return (p - 1) * split / units_of_micro_batch;
  }
  if (name == "dualpipe_v" && times.forward == times.input_gradient && is_weight_short) {
    return (p - 1) * split / 2;
  }
  return std::nullopt;
}

}  // namespace sluice
