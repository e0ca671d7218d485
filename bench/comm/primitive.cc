#include "bench/comm/primitive.h"

#include <algorithm>

#include "core/base/checked_math.h"

namespace sluice {
float InputValue(int rank, int64_t index) {
  return static_cast<float>((31 * int64_t{rank} + index) % kInputPeriod);
}

void FillInput(int rank, std::vector<float>* values) {
  int64_t index = 0;
  for (float& value : *values) value = InputValue(rank, index++);
}

int64_t NumDifferent(int rank, const float* values, int64_t count) {
  int64_t num_different = 0;
  for (int64_t i = 0; i < count; ++i) num_different += values[i] != InputValue(rank, i) ? 1 : 0;
  return num_different;
}

int64_t PartCount(int64_t min_bytes, int num_parts) {
  const auto part_bytes = int64_t{num_parts} * static_cast<int64_t>(sizeof(float));
  return std::max<int64_t>(1, CeilDiv(min_bytes, part_bytes));
}

Payload PayloadOf(std::vector<float>& values) {
  return {values.data(), static_cast<int64_t>(values.size()), DType::kFloat32};
}

}  // namespace sluice
