// The values of --scheme: every scheme of parallel/schemes, and `megatron`, which is the schedule
// `single` with all ranks tensor-parallel.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "parallel/exec/job_plan.h"
#include "parallel/schemes/schemes.h"

namespace sluice {

struct SchemeChoice {
  std::string name;
  const Scheme* scheme;  // its schedule

  // The axis that gets the ranks of the world size that no flag assigns to another; null where the
  // choice uses one rank unless flags say otherwise.
  int ParallelSizes::*own_axis;
};

// In the order in which lists show them.
const std::vector<SchemeChoice>& SchemeChoices();

// Null where there is none of that name.
const SchemeChoice* FindSchemeChoice(std::string_view name);

// The names of all choices.
std::vector<std::string> SchemeNames();

}  // namespace sluice
