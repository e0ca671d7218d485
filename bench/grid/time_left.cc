#include "bench/grid/time_left.h"

#include <algorithm>

namespace sluice {

void TimeLeft::Add(double flops, double seconds) {
  ++num_points_;
  flops_ += flops;
  seconds_ += seconds;
  flops_squared_ += flops * flops;
  flops_by_seconds_ += flops * seconds;
}

double TimeLeft::Seconds(int64_t num_points, double flops) const {
  const double num_left = static_cast<double>(num_points);
  if (num_points_ == 0) return expected_s_per_flop_ * flops;
  const double variance = num_points_ * flops_squared_ - flops_ * flops_;
  // Equal sizes leave a variance of rounding errors only.
  const bool is_fitted = variance > 1e-9 * flops_ * flops_;
  const double slope =
      is_fitted ? std::max(0.0, (num_points_ * flops_by_seconds_ - flops_ * seconds_) / variance)
                : std::min(expected_s_per_flop_, seconds_ / flops_);
  const double offset = (seconds_ - slope * flops_) / num_points_;
  if (offset < 0) return flops_by_seconds_ / flops_squared_ * flops;
  return offset * num_left + slope * flops;
}

}  // namespace sluice
