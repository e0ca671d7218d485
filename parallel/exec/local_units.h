// The units of one pipeline rank, numbered without gaps: the indices of the tables in which a rank
// finds what belongs to a unit.
#pragma once

#include <cstddef>

#include "parallel/exec/job.h"

namespace sluice {

class LocalUnits {
 public:
  // The plan must outlive the numbering.
  LocalUnits(const JobPlan& plan, int pipeline_rank)
      : plan_(plan),
        pipeline_rank_(pipeline_rank),
        num_micro_batches_(static_cast<size_t>(plan.schedule.num_micro_batches)),
        num_slices_(static_cast<size_t>(plan.schedule.num_slices)) {}

  const std::vector<int>& stages() const {
    return plan_.stages_of_rank[static_cast<size_t>(pipeline_rank_)];
  }

  // Whether `stage` exists and is held by this rank.
  bool IsLocal(int stage) const {
    return stage >= 0 && stage < plan_.schedule.num_stages &&
           plan_.schedule.rank_of_stage[static_cast<size_t>(stage)] == pipeline_rank_;
  }

  size_t num_units() const { return num_micro_batches() * num_slices_; }
  // A micro-batch counts once for each stage of the rank.
  size_t num_micro_batches() const { return stages().size() * num_micro_batches_; }

  // Of a unit whose stage is local.
  size_t IndexOf(const Unit& unit) const {
    return MicroBatchIndexOf(unit) * num_slices_ + static_cast<size_t>(unit.slice);
  }
  size_t MicroBatchIndexOf(const Unit& unit) const {
    return static_cast<size_t>(plan_.place_of_stage[static_cast<size_t>(unit.stage)]) *
               num_micro_batches_ +
           static_cast<size_t>(unit.micro_batch);
  }

 private:
  const JobPlan& plan_;
  int pipeline_rank_;
  size_t num_micro_batches_, num_slices_;
};

}  // namespace sluice
