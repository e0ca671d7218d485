// The frozen calibration kernel: a fixed amount of single-threaded work, timed in the same process
// as a benchmark, so that a slow or busy machine slows both and their ratio stays.  tools/perf
// divides a target's minimum CPU time by the kernel's.
//
// The work is a mix like that of the targets: small matrix products that live in the first and
// second level cache, and a triad streaming over arrays that fit in neither; about 20 ms together
// on a 2.6 GHz server core.
//
// Frozen: ratios recorded over months are compared, so the arithmetic, the sizes and their order
// never change under one kCalibrationVersion.  A change makes a new version, and tools/perf refuses
// to compare across versions.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace sluice {

inline constexpr int kCalibrationVersion = 1;

// Holds the kernel's arrays, allocated and touched by the constructor.  Used by one thread:
//
//   Calibration calibration;
//   for (int i = 0; i < 3; ++i) calibration.Run();   // before, between and after the target's runs
//   context["calibration_cpu_ns"] = calibration.min_cpu_ns();
class Calibration {
 public:
  Calibration();

  // Does the work once and returns the CPU time that the calling thread spent in it.
  int64_t Run();

  // The smallest time of all runs so far; the largest int64_t before the first.
  int64_t min_cpu_ns() const { return min_cpu_ns_; }

  // A value computed from every array element, the same after every run and in every process of
  // one build: proof that the whole work was done, and nothing that a compiler could leave out.
  double checksum() const { return checksum_; }

 private:
  struct alignas(32) Block {
    float values[8];
  };

  static void Fill(std::vector<Block>* blocks, int period);
  static double Sum(const std::vector<Block>& blocks);
  void MultiplyMatrices();
  void StreamTriad();

  std::vector<Block> a_, b_, c_;  // [kMatrixSize, kMatrixSize] floats each
  std::vector<Block> x_, y_, z_;  // [kStreamLength] floats each
  int64_t min_cpu_ns_ = std::numeric_limits<int64_t>::max();
  double checksum_ = 0;
};

}  // namespace sluice
