// The units of one pipeline rank, numbered without gaps, as indices of the tables with an entry for
// each unit of the rank.
#pragma once

#include <cstdint>
#include <iterator>
#include <vector>

#include "parallel/exec/job_plan.h"

namespace sluice {

class LocalUnits {
 public:
  // The plan must outlive the numbering.
  LocalUnits(const JobPlan& plan, int pipeline_rank) : plan_(plan), pipeline_rank_(pipeline_rank) {}

  const std::vector<int>& stages() const { return plan_.stages_of_rank[pipeline_rank_]; }

  // Whether `stage` exists and is held by this rank.
  bool IsLocal(int stage) const {
    return stage >= 0 && stage < plan_.schedule.num_stages &&
           plan_.schedule.rank_of_stage[stage] == pipeline_rank_;
  }

  int64_t num_units() const { return num_micro_batches() * plan_.schedule.num_slices; }
  // A micro-batch counts once for each stage of the rank.
  int64_t num_micro_batches() const {
    return std::ssize(stages()) * plan_.schedule.num_micro_batches;
  }

  // `unit` has a local stage.
  int64_t IndexOf(const Unit& unit) const {
    return MicroBatchIndexOf(unit) * plan_.schedule.num_slices + unit.slice;
  }
  int64_t MicroBatchIndexOf(const Unit& unit) const {
    return int64_t{plan_.place_of_stage[unit.stage]} * plan_.schedule.num_micro_batches +
           unit.micro_batch;
  }

 private:
  const JobPlan& plan_;
  int pipeline_rank_;
};

}  // namespace sluice
