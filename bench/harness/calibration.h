// The calibration kernel: a fixed amount of work for one thread, timed between a benchmark's
// repetitions. A slow or busy machine slows down both, so their ratio stays the same; tools/perf
// divides a target's CPU time by the kernel's.
//
// The work is multiply-adds on vectors that stay in registers. It touches no memory, so it follows
// the core's clock and whatever else slows down every instruction, repeats within a few parts in a
// thousand, and leaves the caches unchanged. A kernel that streams through memory would also follow
// a neighbour's use of the caches, but varies by 6 to 12 % between processes where the targets vary
// by 1 % (docs/notes/perf_method.md).
//
// The kernel is frozen, because ratios recorded over months are compared: the arithmetic and its
// amount never change under one kCalibrationVersion. A change makes a new version, and tools/perf
// refuses to compare across versions.
#pragma once

#include <cstdint>

namespace sluice {

inline constexpr int kCalibrationVersion = 2;

// Used by one thread:
//
//   Calibration calibration;
//   for (size_t i = 0; i < num_repetitions; ++i) {
//     samples.calibration_cpu_s[i] = calibration.CpuSeconds();
//     ... time repetition i ...
//   }
class Calibration {
 public:
  // Does the work five times, about 40 us each on a 2.6 GHz server core, and returns the median of
  // the calling thread's CPU times, so that an interrupt in one of them has no effect.
  double CpuSeconds();

  // The number of multiply-adds so far, computed by the work itself, so that the compiler cannot
  // remove it.
  double checksum() const { return checksum_; }

 private:
  void MultiplyAdd();

  // Both are 1, so that each multiply-add adds one to the checksum. They are members, so that the
  // compiler cannot fold them.
  float factor_ = 1;
  float addend_ = 1;
  double checksum_ = 0;
};

}  // namespace sluice
