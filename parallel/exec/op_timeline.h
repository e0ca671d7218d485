// Where the time of one rank's pass goes: timestamps on its compute stream (on the CPU, its thread)
// wherever it turns from one activity to another.
//
//   OpTimeline timeline(stream, ops.size());
//   timeline.BeginPass();                       // while a pass is enqueued
//   timeline.Enter(Activity::kCompute, op);
//   ...
//   timeline.EndPass();
//   const PassTimes& times = timeline.Read();   // when it is done
//
// The first pass is only planned: its turns are counted, and are the same in every later pass.
// Start then makes a timestamp for each; after that a pass allocates nothing. Not recording costs
// a comparison a turn.
//
// The first timestamp of a pass is the rank's origin. The clocks of two ranks are never compared:
// every number is a duration on one rank. The activities of a pass add up to the time from its
// first timestamp to its last.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/device/device.h"
#include "core/model/tensor_parallel.h"
#include "parallel/exec/traffic.h"

namespace sluice {

enum class Activity : uint8_t {
  kCompute,            // kernels of an op
  kMessages,           // waiting for messages between stages; on the CPU also starting and copying
  kTensorCollectives,  // of the tensor-parallel group
  kDataCollectives,    // of the data-parallel group
};
inline constexpr int kNumActivities = 4;

// What the stream worked on between two consecutive timestamps, in seconds from the first timestamp
// of the pass.
struct TimelineSegment {
  static constexpr int kNoOp = -1;

  Activity activity = Activity::kCompute;
  int op = kNoOp;  // position in the rank's list
  double begin_s = 0;
  double end_s = 0;
};

// Where the time of one pass of one rank went.
struct PassTimes {
  // [ops] The kernels and tensor-parallel collectives of a compute op; 0 for a transfer.
  std::vector<double> op_s;
  std::vector<TimelineSegment> segments;               // in the order of time, without gaps
  std::array<double, kNumActivities> activity_s = {};  // by Activity

  double Of(Activity activity) const { return activity_s[static_cast<size_t>(activity)]; }
};

class OpTimeline {
 public:
  // `stream` must outlive this.
  OpTimeline(Stream& stream, size_t num_ops);

  void BeginPass();
  void EndPass();

  // From here on the stream works at `activity` of `op`, or of none. Entering again what it works
  // at already changes nothing.
  void Enter(Activity activity, int op = kNoOp);
  static constexpr int kNoOp = TimelineSegment::kNoOp;
  // The op entered last.
  int op() const { return current_.op; }

  // Timestamps that a pass takes, known after the first pass, and the most that can be recorded.
  int64_t num_timestamps() const { return num_segments_ + 1; }
  int64_t max_timestamps() const { return stream_.max_timestamps(); }

  // Records the passes that are enqueued from now on, which follow the first one. At most
  // max_timestamps.
  void Start();
  void Stop();
  bool is_recording() const { return mode_ == Mode::kRecording; }

  // Returns the last recorded pass. Synchronise the stream first. Valid until the next call.
  const PassTimes& Read();

 private:
  enum class Mode : uint8_t { kPlanning, kOff, kRecording };

  Stream& stream_;
  Mode mode_ = Mode::kPlanning;
  TimelineSegment current_;
  int64_t num_segments_ = 0;  // of a pass
  int64_t num_entered_ = 0;   // of this pass so far
  std::unique_ptr<StreamTimestamps> timestamps_;
  PassTimes times_;  // its segments are planned by the first pass; none where there are too many
};

// The same group, with its collectives counted in `traffic` and their time on a timeline, apart
// from the compute of the op that they interrupt.
class TimedTensorParallel : public TensorParallel {
 public:
  // `timeline` and `traffic` must outlive this.
  TimedTensorParallel(std::unique_ptr<TensorParallel> group, OpTimeline& timeline,
                      Traffic& traffic);

  ShardIndex shard() const override { return group_->shard(); }
  bool splits_sequence() const override { return group_->splits_sequence(); }
  void GatherRows(const Tensor& full) override;
  void SumPartials(const Tensor& partial) override;

 private:
  std::unique_ptr<TensorParallel> group_;
  OpTimeline& timeline_;
  Traffic& traffic_;
};

}  // namespace sluice
