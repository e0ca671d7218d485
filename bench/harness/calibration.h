// The frozen calibration kernel: a fixed amount of work for one thread, timed between a benchmark's
// repetitions, so that a slow or busy machine slows both and their ratio stays.  tools/perf divides
// a target's CPU time by the kernel's.
//
// The work is multiply-adds on vectors that stay in registers.  It touches no memory: it follows
// the clock of the core and whatever else slows every instruction, repeats to a few parts in a
// thousand, and leaves the caches as the benchmark's last repetition left them.  A kernel that
// streams through memory would follow a neighbour's use of the caches as well, but with a scatter
// of its own (6 to 12 % between processes where the targets have 1 %) that is not the target's:
// docs/regression.md has the figures.
//
// Frozen: ratios recorded over months are compared, so the arithmetic and its amount never change
// under one kCalibrationVersion.  A change makes a new version, and tools/perf refuses to compare
// across versions.
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
  // the CPU times that the calling thread spent in each: an interrupt in one of them changes
  // nothing.
  double CpuSeconds();

  // How many multiply-adds were done so far, counted by the work itself: proof that it was done,
  // and nothing that a compiler could leave out.
  double checksum() const { return checksum_; }

 private:
  void MultiplyAdd();

  // Both 1, so that each multiply-add adds one to what MultiplyAdd returns the sum of; members,
  // so that the compiler does not know.
  float factor_ = 1;
  float addend_ = 1;
  double checksum_ = 0;
};

}  // namespace sluice
