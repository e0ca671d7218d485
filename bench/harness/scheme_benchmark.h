// Jobs as benchmarks: the passes of each are the repetitions of one benchmark, and one line of a
// table that a person reads.
#pragma once

#include <string>
#include <vector>

#include "bench/harness/measure.h"
#include "bench/harness/run_benchmarks.h"
#include "bench/harness/step_outputs.h"
#include "parallel/exec/job.h"
#include "programs/job.h"
#include "programs/rank_starter.h"

namespace sluice {

struct SchemeBenchmark {
  Job job;
  JobPlan plan;  // of job.config
  MeasureOptions options;
};

// Its job's, of programs/job_name.h.
std::string NameOf(const SchemeBenchmark& benchmark);

// The row's label in the table: the scheme and every part of the name that the rest of the table
// does not say, "gpipe b=8 m=4 plan=megatron_sequence_parallel"; b is the batch, m micro-batches, n
// slices, v stages a rank, t and d the sizes of tensor- and data-parallel groups.
std::string LabelOf(const SchemeBenchmark& benchmark);

// Those whose names the filter selects, as SelectedIndices does.  Asked before ranks start, so that
// a bad filter is answered once, and so that conditions are told of what runs alone.
std::vector<SchemeBenchmark> Selected(const std::vector<SchemeBenchmark>& all,
                                      const std::string& filter);

// Measures all, with progress on stderr and the table on stdout (rank 0 alone), and writes the
// pictures and traces that `outputs` names; returns the exit code.
int RunSchemeBenchmarks(const std::vector<SchemeBenchmark>& benchmarks, const ResultOptions& result,
                        const StepOutputs& outputs, RankStarter& ranks);

// The same for those that the filter selects, on ranks that are made as their jobs, which are alike
// in that, say.
int RunSelected(const std::vector<SchemeBenchmark>& all, const ResultOptions& result,
                const StepOutputs& outputs = {});

}  // namespace sluice
