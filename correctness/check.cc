// Runs one step of any scheme and compares all its results with a reference checkpoint.

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint_values.h"
#include "core/checkpoint/reference_checkpoint.h"
#include "core/cli/flags.h"
#include "core/cli/main.h"
#include "correctness/check_report.h"
#include "correctness/results/results.h"
#include "programs/job_flags.h"
#include "programs/job_name.h"
#include "programs/run_ranks.h"

SLUICE_FLAG_GROUP("Reference");
SLUICE_INPUT_PATH_FLAG(
    checkpoint_path,
    "reference checkpoint in safetensors format, written by //correctness:save_reference or any "
    "other program; its metadata gives the model, the batch and the loss");

namespace sluice {
namespace {

// The reference and its workload.
struct Reference {
  std::unique_ptr<SafetensorsReader> file;
  ReferenceRun run;
  Workload workload;  // with the precision of the checked run
};

ReferenceRun RunOf(const Workload& workload, const ReferenceRun& made) {
  ReferenceRun run = made;
  run.model = workload.model;
  run.batch_size = workload.batch_size;
  run.loss = Name(workload.loss);
  if (WasGiven("seed")) run.seed = workload.seed;
  return run;
}

Job CheckedJob(const Workload& workload) {
  const Job job = JobFromFlags(workload);
  if (job.config.prefix_len > 0) {
    throw Error(fmt::format("--prefix_len {} is not allowed: a checkpoint has no cached positions",
                            job.config.prefix_len));
  }
  ResultChecker::CheckHiddenSize(job.config.model);
  return job;
}

// If the file cannot be read, the message also names flags that are invalid for any file.
std::unique_ptr<SafetensorsReader> OpenFile() {
  try {
    return std::make_unique<SafetensorsReader>(FLAGS_checkpoint_path);
  } catch (const Error& of_file) {
    try {
      PlanFromFlags(CheckedJob(WorkloadFromFlags(Precision::kFloat32)).config);
    } catch (const Error& of_flags) {
      throw Error(fmt::format("{}; besides, {}", of_file.what(), of_flags.what()));
    }
    throw;
  }
}

// The flags that describe the workload must agree with the file.
Reference OpenReference() {
  Reference reference;
  reference.file = OpenFile();
  reference.run = ReadReferenceRun(*reference.file);
  reference.workload = WorkloadFromFlags(Workload{.model = reference.run.model,
                                                  .batch_size = reference.run.batch_size,
                                                  .loss = ParseLoss(reference.run.loss),
                                                  .seed = reference.run.seed.value_or(0),
                                                  .precision = Precision::kFloat32});
  CheckReference(*reference.file, RunOf(reference.workload, reference.run));
  return reference;
}

CheckedRun RunToCheck(const JobConfig& config, const Reference& reference) {
  const SafetensorsReader& file = *reference.file;
  return {.config = config,
          .reference_precision = reference.run.dtype,
          .stored_type = [&file](const std::string& name) {
            return *ReferenceDType(file.Find(name)->dtype);
          }};
}

// Whether all values that the ranks have read are those drawn from the seed.
bool AreDrawnOnAllRanks(const CheckpointValues& values, Communicator& world) {
  int64_t num_other = values.are_drawn() ? 0 : 1;
  world.AllReduce({&num_other, 1, ControlType::kInt64}, ReduceOp::kMax);
  return num_other == 0;
}

// Whether the first row of the input is that drawn from the seed, for the prediction of memory.
bool BeginsAsDrawn(const Reference& reference) {
  const CheckpointValues values(*reference.file, reference.run.seed);
  std::vector<double> row(static_cast<size_t>(reference.run.model.hidden_size));
  values.Input(0, row);
  return values.are_drawn();
}

std::string Describe(const ReferenceRun& run, bool are_drawn) {
  return fmt::format("reference {}{}{}", Name(run.dtype),
                     run.commit.empty() ? "" : " of commit " + Printable(run.commit),
                     are_drawn ? "" : ", initial values from the file");
}

int Run() {
  if (!WasGiven("checkpoint_path")) {
    throw Error(
        "--checkpoint_path is missing: write a reference checkpoint with "
        "//correctness:save_reference");
  }
  const Reference reference = OpenReference();
  const Job job = CheckedJob(reference.workload);
  const JobPlan plan = PlanFromFlags(job.config);
  const CheckpointValues values(*reference.file, reference.run.seed);
  CheckedRun checked = RunToCheck(plan.config, reference);
  if (!BeginsAsDrawn(reference)) checked.values = &values;
  const int64_t host_bytes = Results::HostBytes(plan) + CheckReport::HostBytes(checked);
  std::optional<CheckReport> report;
  const int exit_code =
      RunRanks(job, plan, {.host_bytes = host_bytes}, [&](const RankEnvironment& environment) {
        Executor executor(plan, environment.backend, environment.device_world, values);
        Results results(plan, *environment.backend.device, executor);
        executor.RunStep();
        const bool are_drawn = AreDrawnOnAllRanks(values, environment.world);
        const bool is_first = environment.world.rank() == 0;
        if (is_first) {
          checked.values = are_drawn ? nullptr : &values;
          report.emplace(checked, *reference.file);
        }
        results.Visit(environment.world, [&](const Result& result) {
          if (is_first) report->Add(result);
        });
      });
  if (exit_code != 0) return exit_code;
  if (!report) return 0;
  const bool pass =
      report->Finish(NameOf(job, plan), Describe(reference.run, checked.values == nullptr));
  return pass ? 0 : 1;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::Main(
      argc, argv,
      {.purpose =
           "Runs one step of a scheme and compares every result with a reference checkpoint: exit "
           "code 0 if every tensor is within its bound, else 1.",
       .example = "bazel run //correctness:check -- --scheme=seqpipe --world_size=4 --n_slices=8 "
                  "--model=test --checkpoint_path=ckpt.safetensors"},
      sluice::Run);
}
