// Writes the reference checkpoint of a model: one step of scheme `single` by the executor and its
// kernels, on one rank.  In float64, its default, it is as good as exact for every check in lower
// precision.

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

#include "core/base/error.h"
#include "core/checkpoint/reference_checkpoint.h"
#include "core/checkpoint/safetensors_writer.h"
#include "core/cli/build_info.h"
#include "core/cli/flags.h"
#include "core/cli/main.h"
#include "core/model/initial_values.h"
#include "correctness/results/results.h"
#include "programs/run_ranks.h"
#include "programs/workload_flags.h"

SLUICE_FLAG_GROUP("Output");
SLUICE_OUTPUT_PATH_FLAG(checkpoint_path, "safetensors file to write; an existing file is replaced");

namespace sluice {
namespace {

// Writes float64 values in the element type of the file.
class CheckpointWriter {
 public:
  CheckpointWriter(const std::string& path, const SafetensorsHeader& header)
      : writer_(path, header),
        is_float64_(header.tensors.front().dtype == SafetensorsDType::kF64) {}

  void Write(const std::string& name, std::span<const double> values) {
    if (is_float64_) return writer_.Write(name, std::as_bytes(values));
    float32_.resize(values.size());
    std::transform(values.begin(), values.end(), float32_.begin(),
                   [](double value) { return static_cast<float>(value); });
    writer_.Write(name, std::as_bytes(std::span(float32_)));
  }

  void Commit() { writer_.Commit(); }

 private:
  SafetensorsWriter writer_;
  bool is_float64_;
  std::vector<float> float32_;
};

// Writes the initial values of the run in the order of ReferenceHeader.
void WriteInitialValues(const Workload& workload, CheckpointWriter& writer) {
  const ModelConfig& model = workload.model;
  std::vector<double> values(
      static_cast<size_t>(model.seq_len * workload.batch_size * model.hidden_size));
  FillInput<double>(workload.seed, 0, values);
  writer.Write("input", values);
  if (workload.loss == LossKind::kProjection) {
    FillProjection<double>(workload.seed, 0, values);
    writer.Write("projection", values);
  }
  for (int64_t layer = 0; layer < model.num_layers; ++layer) {
    for (const ParameterSpec& parameter : LayerParameters(model)) {
      const Block whole = WholeBlock(parameter);
      values.resize(static_cast<size_t>(whole.num_elements()));
      FillParameter<double>({workload.seed, layer}, parameter, whole, values);
      writer.Write(ParameterName(layer, parameter.name), values);
    }
  }
}

Job SingleJob(const Workload& workload) {
  Job job;
  job.scheme = "single";
  job.config = {.model = workload.model,
                .batch_size = workload.batch_size,
                .loss = workload.loss,
                .seed = workload.seed,
                .precision = workload.precision,
                .grad_dtype = workload.grad_dtype};
  job.threads = NumDevices(DeviceKind::kCpu);
  CheckSupported({.kind = job.device, .precision = workload.precision});
  return job;
}

int Run() {
  if (!WasGiven("checkpoint_path")) {
    throw Error("--checkpoint_path is missing: give the file to write");
  }
  const Workload workload = WorkloadFromFlags(Precision::kFloat64);
  const Job job = SingleJob(workload);
  const JobPlan plan = PlanJob(job.config);
  const std::string path = FLAGS_checkpoint_path;
  const int exit_code = RunRanks(
      job, plan, {.host_bytes = Results::HostBytes(plan)}, [&](const RankEnvironment& environment) {
        Executor executor(plan, environment.backend, environment.device_world);
        Results results(plan, *environment.backend.device, executor);
        executor.RunStep();
        // Made after the memory check, because the header of very many layers is large.
        const SafetensorsHeader header = ReferenceHeader({.model = workload.model,
                                                          .batch_size = workload.batch_size,
                                                          .loss = std::string(Name(workload.loss)),
                                                          .seed = workload.seed,
                                                          .dtype = workload.precision,
                                                          .commit = GetBuildInfo().commit});
        CheckpointWriter writer(path, header);
        WriteInitialValues(workload, writer);
        results.Visit(environment.world,
                      [&](const Result& result) { writer.Write(result.name, result.values); });
        writer.Commit();
        fmt::print("saved {} tensors of model {} ({}, loss {}, seed {}) to {}\n",
                   header.tensors.size(), workload.model.name, Name(workload.precision),
                   Name(workload.loss), workload.seed, path);
      });
  return exit_code;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::Main(
      argc, argv,
      {.purpose = "Saves the input, weights, output and gradients of one step on one rank as a "
                  "reference checkpoint, for //correctness:check.",
       .example = "bazel run //correctness:save_reference -- --model=test "
                  "--checkpoint_path=ckpt.safetensors"},
      sluice::Run);
}
