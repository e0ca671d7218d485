// The text form of a schedule, for tests, people and files.
//
//   schedule num_stages=2 num_ranks=2 num_micro_batches=1 num_slices=1 pass=step
//   rank_of_stage 0 1
//   rank 0: F0.0.0 SA0.0.0 RG0.0.0 BW0.0.0
//   rank 1: RA1.0.0 F1.0.0 BW1.0.0 SG1.0.0
//
// An op is a kind and a unit, stage.micro_batch.slice. The kinds:
//
//   F   Forward           SA  SendActivation
//   BW  Backward          RA  RecvActivation
//   B   BackwardInput     SG  SendGradient
//   W   BackwardWeight    RG  RecvGradient
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "parallel/schedule/schedule.h"

namespace sluice {

// Returns "F0.0.0" for Forward of stage 0, micro-batch 0, slice 0.
std::string FormatOp(const Op& op);

// "Forward(stage=0, micro_batch=0, slice=0)": the name of an op in messages. Allocates nothing.
class OpLabel {
 public:
  explicit OpLabel(const Op& op);

  std::string_view text() const { return {text_.data(), size_}; }

 private:
  // Large enough for every op of a schedule of at most kMaxNumUnits units.
  std::array<char, 64> text_;
  size_t size_ = 0;
};

// Returns the whole text, each line with its newline.
std::string FormatSchedule(const Schedule& schedule);

// The inverse of FormatSchedule. It accepts exactly the form that FormatSchedule writes: one space
// between words, no sign or leading zero in numbers, all ranks in order. Throws Error with line and
// column, what was found there and what is allowed. Checks that counts are positive and indices are
// in range; FindError checks whether the schedule can run.
Schedule ParseSchedule(std::string_view text);

}  // namespace sluice
