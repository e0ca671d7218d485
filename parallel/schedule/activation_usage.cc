#include "parallel/schedule/activation_usage.h"

#include <algorithm>

namespace sluice {

int64_t AllocatedActivationBytes(const Op& compute, const ActivationBytes& activation_bytes) {
  return compute.kind == OpKind::kForward ? activation_bytes(compute.unit) : 0;
}

int64_t FreedActivationBytes(const Schedule& schedule, const Op& compute,
                             const ActivationBytes& activation_bytes) {
  if (compute.kind == OpKind::kBackward || compute.kind == OpKind::kBackwardWeight) {
    return activation_bytes(compute.unit);
  }
  const bool ends_micro_batch = schedule.pass == Pass::kForward &&
                                compute.kind == OpKind::kForward &&
                                compute.unit.slice == schedule.num_slices - 1;
  if (!ends_micro_batch) return 0;
  int64_t bytes = 0;
  for (Unit unit = compute.unit; unit.slice >= 0; --unit.slice) bytes += activation_bytes(unit);
  return bytes;
}

int64_t PeakActivationBytes(const Schedule& schedule, int rank,
                            const ActivationBytes& activation_bytes) {
  int64_t bytes = 0;
  int64_t peak_bytes = 0;
  for (const Op& op : schedule.ops_of_rank[rank]) {
    if (!IsCompute(op.kind)) continue;
    bytes += AllocatedActivationBytes(op, activation_bytes);
    peak_bytes = std::max(peak_bytes, bytes);
    bytes -= FreedActivationBytes(schedule, op, activation_bytes);
  }
  return peak_bytes;
}

}  // namespace sluice
