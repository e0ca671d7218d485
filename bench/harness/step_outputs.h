// Pictures and traces of measured steps, with the simulation of each (bench/timeline).
#pragma once

#include <string>
#include <vector>

#include "bench/harness/job_times.h"
#include "bench/timeline/timed_step.h"
#include "parallel/exec/job_plan.h"

namespace sluice {

// Paths of the files to write; empty: none.
struct StepOutputs {
  std::string svg_out;    // step_figure.h
  std::string trace_out;  // step_trace.h

  bool any() const { return !svg_out.empty() || !trace_out.empty(); }
};

TimedStep TimedStepOf(const JobPlan& plan, std::string title, const StepRecord& record);

// Throws Error if there is no step to show: the ops of none were recorded.
void WriteSteps(const StepOutputs& outputs, const std::vector<TimedStep>& steps);

}  // namespace sluice
