// The rows of the main job: every scheme, with sizes at which its purpose shows.
#pragma once

#include <string>
#include <vector>

#include "parallel/exec/job.h"

namespace sluice {

struct SchemeRow {
  std::string scheme;  // the name of a SchemeChoice (programs/scheme_choices.h)
  ParallelSizes sizes;
  int num_micro_batches = 1;
  int num_slices = 1;
  int num_chunks = 1;
};

// One row for each SchemeChoice, in that order. Each has `num_ranks` ranks if it can use several.
std::vector<SchemeRow> SchemeRows(int num_ranks);

}  // namespace sluice
