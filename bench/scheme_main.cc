#include "bench/scheme_main.h"

#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "bench/harness/result_flags.h"
#include "bench/harness/scheme_benchmark.h"
#include "bench/harness/step_output_flags.h"
#include "bench/target_defaults.h"
#include "core/cli/main.h"
#include "programs/job_flags.h"
#include "programs/shared_flags.h"

SLUICE_FLAG_GROUP("Measurement");
SLUICE_CHOICE_FLAG(pass, "both", (std::vector<std::string>{"forward", "step", "both"}),
                   "forward, step (forward and backward), or one after the other");
SLUICE_N_STEPS_FLAG(10, "minimum number of timed passes");
SLUICE_NUMBER_FLAG(timed_s, 0, 0, 3600, "minimum duration of all timed passes, in seconds");
SLUICE_INT_FLAG(n_warmup_steps, 1, 1, 1'000'000,
                "minimum number of untimed passes just before the timed ones");
SLUICE_WARMUP_S_FLAG(
    "minimum duration of the untimed passes, in seconds; default: 1 on cuda, where clocks depend "
    "on temperature and power, else 0");

namespace sluice {
namespace {

std::vector<Pass> PassesFromFlags() {
  if (FLAGS_pass == "forward") return {Pass::kForward};
  if (FLAGS_pass == "step") return {Pass::kStep};
  return {Pass::kForward, Pass::kStep};
}

double WarmupSeconds(DeviceKind device) {
  return WasGiven("warmup_s") || device == DeviceKind::kCpu ? FLAGS_warmup_s : 1;
}

int Run() {
  Job job = JobFromFlags();
  const MeasureOptions options = {.n_steps = FLAGS_n_steps,
                                  .timed_s = FLAGS_timed_s,
                                  .num_warmup_steps = FLAGS_n_warmup_steps,
                                  .warmup_s = WarmupSeconds(job.device)};
  std::vector<SchemeBenchmark> benchmarks;
  for (const Pass pass : PassesFromFlags()) {
    job.config.pass = pass;
    benchmarks.push_back({job, PlanFromFlags(job.config), options});
  }
  return RunSelected(benchmarks, ResultOptionsFromFlags(), StepOutputsFromFlags());
}

}  // namespace
int SchemeMain(int argc, char** argv, const std::string& target_defaults) {
  std::istringstream defaults(target_defaults);
  std::vector<std::string> arguments = WithTargetDefaults(
      {argv + 1, argv + argc}, {std::istream_iterator<std::string>(defaults), {}});
  std::vector<char*> pointers = {argv[0]};
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  return Main(static_cast<int>(pointers.size()), pointers.data(),
              {.purpose = "Times the forward and the step of one parallel scheme.",
               .example = "bazel run //bench:seqpipe -- --model=test --world_size=2 --n_slices=8"},
              Run);
}

}  // namespace sluice
