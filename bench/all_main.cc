// The main job, //bench: every scheme on this machine in one table, in under a minute.
#include <algorithm>
#include <string>
#include <vector>

#include "bench/harness/result_flags.h"
#include "bench/harness/scheme_benchmark.h"
#include "bench/harness/step_output_flags.h"
#include "bench/scheme_rows.h"
#include "core/cli/main.h"
#include "core/device/cpu/cpu_device.h"
#include "parallel/schedule/slices.h"
#include "programs/scheme_choices.h"
#include "programs/shared_flags.h"

SLUICE_FLAG_GROUP("Measurement");
SLUICE_N_STEPS_FLAG(5, "timed passes of each scheme");
// Independent of the number of cores, so that rows and their names are the same on every machine.
SLUICE_INT_FLAG(world_size, 2, 2, 4, "ranks of each scheme except single");
// At least two stages on each of four ranks.
SLUICE_INT_FLAG(num_layers, 24, 8, sluice::kMaxExtent, "number of layers of model test");

namespace sluice {
namespace {

SchemeBenchmark BenchmarkOf(const SchemeRow& row, Pass pass, int num_cores) {
  Job job = {.scheme = row.scheme};
  JobConfig& config = job.config;
  config.model = FindModel("test");
  config.model.num_layers = FLAGS_num_layers;
  config.batch_size = row.num_micro_batches;
  config.scheme = FindSchemeChoice(row.scheme)->scheme->name;
  config.pass = pass;
  config.slices = UniformSlices(config.model.seq_len, row.num_slices);
  config.num_micro_batches = row.num_micro_batches;
  config.num_chunks = row.num_chunks;
  config.sizes = row.sizes;
  job.threads = std::max(1, num_cores / row.sizes.world_size());
  return {job, PlanJob(config), {.n_steps = FLAGS_n_steps}};
}

int Run() {
  const int num_cores = NumCores();
  const int num_ranks = static_cast<int>(FLAGS_world_size);
  std::vector<SchemeBenchmark> benchmarks;
  for (const SchemeRow& row : SchemeRows(num_ranks)) {
    for (const Pass pass : {Pass::kForward, Pass::kStep}) {
      benchmarks.push_back(BenchmarkOf(row, pass, num_cores));
    }
  }
  return RunSelected(benchmarks, ResultOptionsFromFlags(), StepOutputsFromFlags());
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::Main(argc, argv,
                      {.purpose = "Times every scheme on model test, in one table.",
                       .example = "bazel run //bench -- --json_out=results.json"},
                      sluice::Run);
}
