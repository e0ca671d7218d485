// The time of messages and collectives between the ranks of a job, from links (links.h).
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/exec/job_plan.h"
#include "parallel/planner/links.h"
#include "parallel/planner/op_costs.h"
#include "parallel/schedule/simulate.h"

namespace sluice {

class LinkCosts {
 public:
  // Messages of a pipeline cross in both directions and beside matrix products, so that the
  // smallest of the measured bandwidths counts.
  LinkCosts(const Links& links, const ParallelSizes& sizes, const ReduceSamples& reduce);

  // Between two pipeline ranks: the slowest of their tensor- and data-parallel copies.
  const LinkCost& OfPipeline(const Edge& edge) const;

  // Sums `bytes` over the ranks of a group, as a ring does: 2 (n-1) messages of bytes / n, one
  // after another.
  double TensorAllReduceSeconds(double bytes) const;
  double DataAllReduceSeconds(double bytes) const;

 private:
  int HostOf(const RankCoordinates& rank) const;
  bool CrossesHosts(const Edge& edge) const;

  ParallelSizes sizes_;
  int ranks_per_host_;  // at least 1
  LinkCost within_host_, between_hosts_;
  LinkCost tensor_, data_;  // the slowest link of any of the groups
  std::vector<char>
      next_crosses_hosts_;  // [pipeline ranks]: to the next one, the last to the first
};

// Throws Error if a job of this many ranks spans hosts and `links` has none between hosts.
void CheckLinks(const Links& links, int world_size);

}  // namespace sluice
