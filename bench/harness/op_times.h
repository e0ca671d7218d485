// The recorded passes of one rank (parallel/exec/op_timeline.h): when each of its ops ran.
//
//   OpTimes op_times(executor.ops().size());
//   for each recorded pass: op_times.Add(executor.timeline().Read());
//   op_times.MediansS();
//
// All times are whole nanoseconds, as the timestamps are, so that a sum of them is exact.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "parallel/exec/op_timeline.h"

namespace sluice {

// One op in one pass, from the first timestamp of the rank's pass.
struct OpSample {
  int64_t start_ns = 0;
  int64_t duration_ns = 0;  // the collectives of a compute op included; 0 for a transfer

  bool operator==(const OpSample&) const = default;
};

// The parts of one pass of a rank.
struct PassSums {
  int64_t busy_ns = 0;  // in compute ops, their collectives included
  std::array<int64_t, kNumActivities> activity_ns = {};

  int64_t Of(Activity activity) const { return activity_ns[static_cast<size_t>(activity)]; }
};

// Keeps the sums of every pass, and each op of the first passes: as many as fit into 8 MiB, and at
// least one.
class OpTimes {
 public:
  explicit OpTimes(size_t num_ops) : num_ops_(num_ops) {}

  void Add(const PassTimes& times);

  size_t num_ops() const { return num_ops_; }
  size_t num_passes() const { return sums_.size(); }
  size_t num_kept_passes() const { return segment_ns_.size(); }

  const PassSums& SumsOf(size_t pass) const { return sums_[pass]; }
  std::vector<OpSample> OpsOf(size_t kept_pass) const;  // [ops]
  std::vector<TimelineSegment> SegmentsOf(size_t kept_pass) const;

  // [ops]: the median duration of each op over the kept passes, in seconds.
  std::vector<double> MediansS() const;

  // All of it as numbers, for a message to another rank.
  std::vector<int64_t> ToNumbers() const;
  static OpTimes FromNumbers(std::span<const int64_t> numbers);

 private:
  size_t num_ops_;
  std::vector<TimelineSegment> segments_;         // without times: they are the same in every pass
  std::vector<std::vector<int64_t>> segment_ns_;  // [kept passes][segments], durations
  std::vector<PassSums> sums_;                    // [passes]
};

}  // namespace sluice
