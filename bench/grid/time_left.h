// Estimates the time that the remaining points of a grid search will take.
//
// The model is a + b * flops for each point: a is the fixed cost of a point (memory, launches), b
// the cost of one operation. Both are fitted to the finished points by least squares, neither below
// zero. Until two points of different size are done, b is the caller's estimate.
#pragma once

#include <cstdint>

namespace sluice {

class TimeLeft {
 public:
  // `expected_s_per_flop`: the time of all runs of a point, divided by the operations of one run.
  explicit TimeLeft(double expected_s_per_flop) : expected_s_per_flop_(expected_s_per_flop) {}

  // Records a finished point of `flops` operations.
  void Add(double flops, double seconds);

  // The estimated time of `num_points` points with `flops` operations in total.
  double Seconds(int64_t num_points, double flops) const;

 private:
  double expected_s_per_flop_;
  double num_points_ = 0;
  // Sums over the finished points.
  double flops_ = 0, seconds_ = 0;
  double flops_squared_ = 0, flops_by_seconds_ = 0;
};

}  // namespace sluice
