#include "bench/harness/op_times.h"

#include <cmath>

#include "core/base/check.h"
#include "core/base/median.h"

namespace sluice {
namespace {

constexpr size_t kMaxKeptTimes = size_t{1} << 20;

}  // namespace

void OpTimes::Add(const PassTimes& times) {
  SLUICE_CHECK_EQ(times.op_s.size(), num_ops_);
  PassSums& sums = sums_.emplace_back();
  std::vector<int64_t> durations_ns;
  for (const TimelineSegment& segment : times.segments) {
    durations_ns.push_back(std::llround((segment.end_s - segment.begin_s) * 1e9));
    sums.activity_ns[static_cast<size_t>(segment.activity)] += durations_ns.back();
    if (segment.op != TimelineSegment::kNoOp) sums.busy_ns += durations_ns.back();
  }
  const bool fits = (segment_ns_.size() + 1) * times.segments.size() <= kMaxKeptTimes;
  if (!segment_ns_.empty() && !fits) return;
  segments_ = times.segments;
  segment_ns_.push_back(std::move(durations_ns));
}

std::vector<TimelineSegment> OpTimes::SegmentsOf(size_t kept_pass) const {
  std::vector<TimelineSegment> segments = segments_;
  int64_t now_ns = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    segments[i].begin_s = static_cast<double>(now_ns) * 1e-9;
    now_ns += segment_ns_[kept_pass][i];
    segments[i].end_s = static_cast<double>(now_ns) * 1e-9;
  }
  return segments;
}

std::vector<OpSample> OpTimes::OpsOf(size_t kept_pass) const {
  std::vector<OpSample> ops(num_ops_);
  int64_t now_ns = 0;
  for (size_t i = 0; i < segments_.size(); ++i) {
    const int64_t duration_ns = segment_ns_[kept_pass][i];
    if (segments_[i].op != TimelineSegment::kNoOp) {
      OpSample& op = ops[static_cast<size_t>(segments_[i].op)];
      if (op.duration_ns == 0) op.start_ns = now_ns;
      op.duration_ns += duration_ns;
    }
    now_ns += duration_ns;
  }
  return ops;
}

std::vector<double> OpTimes::MediansS() const {
  std::vector<std::vector<double>> samples_ns(num_ops_);
  for (size_t pass = 0; pass < num_kept_passes(); ++pass) {
    const std::vector<OpSample> ops = OpsOf(pass);
    for (size_t op = 0; op < num_ops_; ++op) {
      samples_ns[op].push_back(static_cast<double>(ops[op].duration_ns));
    }
  }
  std::vector<double> medians_s;
  for (std::vector<double>& of_op_ns : samples_ns) {
    medians_s.push_back(Median(std::move(of_op_ns)) * 1e-9);
  }
  return medians_s;
}

std::vector<int64_t> OpTimes::ToNumbers() const {
  std::vector<int64_t> numbers = {
      static_cast<int64_t>(num_ops_), static_cast<int64_t>(segments_.size()),
      static_cast<int64_t>(segment_ns_.size()), static_cast<int64_t>(sums_.size())};
  for (const TimelineSegment& segment : segments_) {
    numbers.push_back(static_cast<int64_t>(segment.activity));
    numbers.push_back(segment.op);
  }
  for (const std::vector<int64_t>& pass_ns : segment_ns_) {
    numbers.insert(numbers.end(), pass_ns.begin(), pass_ns.end());
  }
  for (const PassSums& sums : sums_) {
    numbers.push_back(sums.busy_ns);
    numbers.insert(numbers.end(), sums.activity_ns.begin(), sums.activity_ns.end());
  }
  return numbers;
}

OpTimes OpTimes::FromNumbers(std::span<const int64_t> numbers) {
  size_t next = 0;
  const auto take = [&] { return numbers[next++]; };
  const auto take_size = [&] { return static_cast<size_t>(take()); };
  OpTimes times(take_size());
  times.segments_.resize(take_size());
  times.segment_ns_.resize(take_size());
  times.sums_.resize(take_size());
  for (TimelineSegment& segment : times.segments_) {
    segment.activity = static_cast<Activity>(take());
    segment.op = static_cast<int>(take());
  }
  for (std::vector<int64_t>& pass_ns : times.segment_ns_) {
    for (size_t i = 0; i < times.segments_.size(); ++i) pass_ns.push_back(take());
  }
  for (PassSums& sums : times.sums_) {
    sums.busy_ns = take();
    for (int64_t& activity_ns : sums.activity_ns) activity_ns = take();
  }
  SLUICE_CHECK_EQ(next, numbers.size());
  return times;
}

}  // namespace sluice
