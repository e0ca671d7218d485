#include "parallel/exec/op_timeline.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace sluice {

OpTimeline::OpTimeline(Stream& stream, size_t num_ops) : stream_(stream) {
  times_.op_s.resize(num_ops);
}

void OpTimeline::BeginPass() {
  current_ = {};
  num_entered_ = 0;
  if (mode_ == Mode::kPlanning) times_.segments.clear();
}

void OpTimeline::Enter(Activity activity, int op) {
  const bool is_new = num_entered_ == 0 || activity != current_.activity || op != current_.op;
  current_ = {.activity = activity, .op = op};
  if (!is_new) return;
  ++num_entered_;
  if (mode_ == Mode::kRecording) {
    SLUICE_CHECK(num_entered_ <= num_segments_);
    timestamps_->Record(num_entered_ - 1);
  } else if (mode_ == Mode::kPlanning && num_entered_ < max_timestamps()) {
    times_.segments.push_back(current_);
  }
}

void OpTimeline::EndPass() {
  if (mode_ == Mode::kRecording) {
    SLUICE_CHECK_EQ(num_entered_, num_segments_);
    timestamps_->Record(num_segments_);
  }
  if (mode_ != Mode::kPlanning) return;
  num_segments_ = num_entered_;
  if (num_timestamps() > max_timestamps()) times_.segments = {};
  mode_ = Mode::kOff;
}

void OpTimeline::Start() {
  SLUICE_CHECK(mode_ != Mode::kPlanning);
  SLUICE_CHECK(num_timestamps() <= max_timestamps());
  if (timestamps_ == nullptr) timestamps_ = stream_.MakeTimestamps(num_timestamps());
  mode_ = Mode::kRecording;
}

void OpTimeline::Stop() {
  if (mode_ == Mode::kRecording) mode_ = Mode::kOff;
}

const PassTimes& OpTimeline::Read() {
  SLUICE_CHECK(timestamps_ != nullptr);
  std::fill(times_.op_s.begin(), times_.op_s.end(), 0);
  times_.activity_s = {};
  double begin_s = 0;
  for (int64_t i = 0; i < num_segments_; ++i) {
    const double elapsed_s = static_cast<double>(timestamps_->ElapsedNs(i, i + 1)) * 1e-9;
    TimelineSegment& segment = times_.segments[static_cast<size_t>(i)];
    segment.begin_s = begin_s;
    segment.end_s = begin_s += elapsed_s;
    times_.activity_s[static_cast<size_t>(segment.activity)] += elapsed_s;
    if (segment.op != kNoOp) times_.op_s[static_cast<size_t>(segment.op)] += elapsed_s;
  }
  return times_;
}

TimedTensorParallel::TimedTensorParallel(std::unique_ptr<TensorParallel> group,
                                         OpTimeline& timeline, Traffic& traffic)
    : group_(std::move(group)), timeline_(timeline), traffic_(traffic) {}

void TimedTensorParallel::GatherRows(const Tensor& full) {
  if (!splits_sequence()) return;
  const int op = timeline_.op();
  timeline_.Enter(Activity::kTensorCollectives, op);
  traffic_.Add(full.num_bytes());
  group_->GatherRows(full);
  timeline_.Enter(Activity::kCompute, op);
}

void TimedTensorParallel::SumPartials(const Tensor& partial) {
  const int op = timeline_.op();
  timeline_.Enter(Activity::kTensorCollectives, op);
  traffic_.Add(partial.num_bytes());
  group_->SumPartials(partial);
  timeline_.Enter(Activity::kCompute, op);
}

}  // namespace sluice
