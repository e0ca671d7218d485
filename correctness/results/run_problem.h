// The problem of core/reference that a job computes.
#pragma once

#include "core/model/initial_values.h"
#include "core/reference/transformer.h"
#include "parallel/exec/job_plan.h"

namespace sluice {

// From the initial values of config.seed, or from `values` where they are given.
reference::Problem ProblemOf(const JobConfig& config, const InitialValues* values = nullptr);

}  // namespace sluice
