// Times one scheme, forward and step: //bench:gpipe, //bench:seqpipe, ..., and the generated target
// of each configuration.  A target's defaults come from its rule (bench/scheme_targets.bzl); any
// flag can be given in their place (bench/target_defaults.h).
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "bench/harness/result_flags.h"
#include "bench/harness/scheme_benchmark.h"
#include "bench/harness/step_output_flags.h"
#include "bench/target_defaults.h"
#include "core/cli/flags.h"
#include "core/cli/main.h"
#include "programs/job_flags.h"

SLUICE_CHOICE_FLAG(pass, "both", (std::vector<std::string>{"forward", "step", "both"}),
                   "the forward alone, forward and backward, or one after the other");
SLUICE_INT_FLAG(n_steps, 10, 1, 1'000'000, "timed passes, at least");
SLUICE_NUMBER_FLAG(timed_s, 0, 0, 3600, "as many timed passes as take so many seconds, at least");
SLUICE_INT_FLAG(n_warmup_steps, 1, 1, 1'000'000,
                "passes just before them that are not timed, at least");
SLUICE_NUMBER_FLAG(warmup_s, 0, 0, 3600,
                   "as many of these as take so many seconds, at least; default: 1 on cuda, where "
                   "clocks follow heat and power, else 0");

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
    benchmarks.push_back({job, PlanJob(job.config), options});
  }
  return RunSelected(benchmarks, ResultOptionsFromFlags(), StepOutputsFromFlags());
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  std::istringstream defaults(SLUICE_TARGET_DEFAULTS);
  std::vector<std::string> arguments = sluice::WithTargetDefaults(
      {argv + 1, argv + argc}, {std::istream_iterator<std::string>(defaults), {}});
  std::vector<char*> pointers = {argv[0]};
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  return sluice::Main(
      static_cast<int>(pointers.size()), pointers.data(),
      {.purpose = "Times the forward and the step of one parallel scheme.",
       .example = "bazel run //bench:seqpipe -- --model=test --world_size=2 --n_slices=8"},
      sluice::Run);
}
