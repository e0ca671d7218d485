// The executor's own cost per unit of work: passes of a model so small that kernels hardly count,
// over the number of micro-batches. Where the cost per unit is constant, the time of a pass is
// proportional to that number.
#include <cstdint>
#include <string>
#include <vector>

#include "bench/harness/result_flags.h"
#include "bench/harness/scheme_benchmark.h"
#include "core/cli/main.h"
#include "parallel/schedule/slices.h"
#include "programs/shared_flags.h"

SLUICE_FLAG_GROUP("Measurement");
SLUICE_N_STEPS_FLAG(5, "timed passes of each row");
SLUICE_INT_FLAG(min_micro_batches, 250, 2, 4'000'000,
                "micro-batches in the first row of each scheme");
SLUICE_INT_FLAG(num_rows, 5, 1, 8,
                "rows of each scheme; every row has 4 times the micro-batches of the previous one");

namespace sluice {
namespace {

SchemeBenchmark BenchmarkOf(const std::string& scheme, int num_stages, int64_t num_micro_batches) {
  Job job = {.scheme = scheme};
  JobConfig& config = job.config;
  config.model = FindModel("test");
  config.model.num_layers = num_stages;
  config.model.hidden_size = 8;
  config.model.num_heads = 1;
  config.model.seq_len = 1;
  config.batch_size = num_micro_batches;
  config.scheme = scheme;
  config.slices = UniformSlices(config.model.seq_len, 1);
  config.num_micro_batches = static_cast<int>(num_micro_batches);
  config.sizes = {.pipeline = num_stages};
  job.threads = 1;
  return {job, PlanJob(config), {.n_steps = FLAGS_n_steps}};
}

int Run() {
  std::vector<SchemeBenchmark> benchmarks;
  int64_t num_micro_batches = FLAGS_min_micro_batches;
  for (int64_t row = 0; row < FLAGS_num_rows; ++row, num_micro_batches *= 4) {
    benchmarks.push_back(BenchmarkOf("single", 1, num_micro_batches));
    benchmarks.push_back(BenchmarkOf("gpipe", 2, num_micro_batches));
  }
  return RunSelected(benchmarks, ResultOptionsFromFlags());
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::Main(
      argc, argv,
      {.purpose =
           "Times the executor's own cost per unit of work, over the number of micro-batches.",
       .example = "bazel run //bench:executor_cost -- --json_out=results.json"},
      sluice::Run);
}
