// How long the points of a grid search that are left will take, told from those that are done.
//
// The time of a point is taken to be a + b * flops: a for what every point costs (memory,
// launches), b for the work.  Both are fitted to the points done by least squares, neither below
// zero; until two points of different size are done, b is what the caller expects.
#pragma once

#include <cstdint>

namespace sluice {

class TimeLeft {
 public:
  // `expected_s_per_flop`: of a point, all its runs together, before anything is known.
  explicit TimeLeft(double expected_s_per_flop) : expected_s_per_flop_(expected_s_per_flop) {}

  // A point of so many floating-point operations took so long.
  void Add(double flops, double seconds);

  // What `num_points` points of `flops` operations in total will take.
  double Seconds(int64_t num_points, double flops) const;

 private:
  double expected_s_per_flop_;
  double num_points_ = 0;
  double flops_ = 0, seconds_ = 0;                   // sums over the points done
  double flops_squared_ = 0, flops_by_seconds_ = 0;  // likewise
};

}  // namespace sluice
