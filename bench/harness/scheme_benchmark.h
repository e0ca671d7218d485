// Runs jobs as benchmarks. Each job is one benchmark, whose repetitions are its timed passes, and
// one row of the printed table.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/harness/measure.h"
#include "bench/harness/run_benchmarks.h"
#include "bench/harness/step_outputs.h"
#include "parallel/exec/job_plan.h"
#include "programs/job.h"
#include "programs/rank_starter.h"

namespace sluice {

struct SchemeBenchmark {
  Job job;
  JobPlan plan;  // PlanJob(job.config)
  MeasureOptions options;
};

// The name of its job (programs/job_name.h).
std::string NameOf(const SchemeBenchmark& benchmark);

// The label of its row: the scheme, and each part of the name that the rest of the table does not
// show, "gpipe b=8 m=4 plan=megatron_sequence_parallel". b is the batch size, m the number of
// micro-batches, n of slices, v of stages per rank, t and d the sizes of tensor- and data-parallel
// groups.
std::string LabelOf(const SchemeBenchmark& benchmark);

// The benchmarks whose names the filter selects, as SelectedIndices does. Call it before ranks
// start, so that a bad filter is reported once and the printed conditions cover only what runs.
std::vector<SchemeBenchmark> Selected(const std::vector<SchemeBenchmark>& all,
                                      const std::string& filter);

// Called on rank 0 for each benchmark that was measured.
using OnMeasured = std::function<void(const SchemeBenchmark&, const Measurement&)>;

// Measures all of them. Rank 0 prints progress on stderr and the table on stdout, and writes the
// pictures and traces that `outputs` names. Where `on_measured` is set, it is called in place of
// printing a row, and what memory each job needs is not printed. Returns the exit code.
int RunSchemeBenchmarks(const std::vector<SchemeBenchmark>& benchmarks, const ResultOptions& result,
                        const StepOutputs& outputs, RankStarter& ranks,
                        const OnMeasured& on_measured = nullptr);

// The same for the benchmarks that the filter selects. Makes the ranks; all jobs have the same
// communicator.
int RunSelected(const std::vector<SchemeBenchmark>& all, const ResultOptions& result,
                const StepOutputs& outputs = {}, const OnMeasured& on_measured = nullptr);

}  // namespace sluice
