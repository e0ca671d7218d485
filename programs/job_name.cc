#include "programs/job_name.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>

#include "core/kernels/causal_attention/attention_implementation.h"
#include "core/model/loss_kind.h"
#include "core/model/model_config.h"
#include "parallel/comm/nccl/gpu_sharing.h"
#include "parallel/schedule/slices.h"
#include "programs/comm_kind.h"
#include "programs/scheme_choices.h"

namespace sluice {
namespace {

bool HasUniformSlices(const JobConfig& config) {
  return config.slices == UniformSlices(config.model.seq_len, std::ssize(config.slices));
}

// "test", or "test/num_layers:2" where that number is not the named model's.
std::string NameOf(const ModelConfig& model) {
  ModelConfig named;
  for (const ModelConfig& known : NamedModels()) {
    if (known.name == model.name) named = known;
  }
  std::string name = model.name;
  const auto add = [&](std::string_view key, int64_t ModelConfig::*number) {
    if (model.*number != named.*number) name += fmt::format("/{}:{}", key, model.*number);
  };
  add("num_layers", &ModelConfig::num_layers);
  add("hidden_size", &ModelConfig::hidden_size);
  add("seq_len", &ModelConfig::seq_len);
  add("num_heads", &ModelConfig::num_heads);
  return name;
}

// Conditions that are not sizes, where they differ from the default.
std::string NameOfConditions(const Job& job, const JobConfig& config) {
  std::string name;
  if (config.loss != LossKind::kMean) name += fmt::format("/loss:{}", Name(config.loss));
  if (config.seed != 0) name += fmt::format("/seed:{}", config.seed);
  if (job.comm != CommKind::kThread) name += fmt::format("/comm:{}", Name(job.comm));
  if (job.gpu_use == GpuUse::kShared) name += kSharedGpuName;
  if (job.attention) name += fmt::format("/attention:{}", Name(*job.attention));
  if (job.kernels != KernelsChoice::kAuto) name += fmt::format("/kernels:{}", Name(job.kernels));
  if (job.threads_requested) name += fmt::format("/threads:{}", job.threads);
  return name;
}

}  // namespace

std::string NameOf(const Job& job, const JobPlan& plan) {
  const JobConfig& config = plan.config;
  std::string name = fmt::format("scheme:{}", job.scheme);
  if (!job.schedule_name.empty()) name += "/schedule:" + job.schedule_name;
  name += "/model:" + NameOf(config.model);
  if (job.world_size_requested) name += fmt::format("/world_size:{}", config.sizes.world_size());
  const auto add = [&](std::string_view key, int64_t value) {
    if (value > 1) name += fmt::format("/{}:{}", key, value);
  };
  // The own axis of `megatron` is stated by the world size, as the pipeline of other schemes is.
  const SchemeChoice* const choice = FindSchemeChoice(job.scheme);
  const bool is_own_axis = choice != nullptr && choice->own_axis == &ParallelSizes::tensor;
  add("tensor_parallel_size", is_own_axis ? 1 : config.sizes.tensor);
  add("data_parallel_size", config.sizes.data);
  add("batch_size", config.batch_size);
  add("num_micro_batches", config.num_micro_batches);
  if (HasUniformSlices(config)) {
    add("n_slices", static_cast<int64_t>(config.slices.size()));
  } else {
    name += "/slices:" + SliceLens(config);
  }
  add("num_chunks", config.num_chunks);
  if (config.plan != PlanKind::kMegatron) name += fmt::format("/plan:{}", Name(config.plan));
  if (config.prefix_len > 0) name += fmt::format("/prefix_len:{}", config.prefix_len);
  name += NameOfConditions(job, config);
  name += fmt::format("/device:{}/dtype:{}", Name(job.device), Name(config.precision));
  // A forward has no gradients.
  const DType grad_dtype = GradDType(config);
  if (config.pass == Pass::kStep && grad_dtype != AccumulatorDType(config.precision)) {
    name += fmt::format("/grad_dtype:{}", Name(grad_dtype));
  }
  return name + fmt::format("/pass:{}", NameOf(config.pass));
}

std::string NameOf(Pass pass) { return pass == Pass::kForward ? "forward" : "step"; }

std::string RunLengthText(const std::vector<int64_t>& values) {
  std::vector<std::string> runs;
  for (size_t begin = 0, end = 0; begin < values.size(); begin = end) {
    while (end < values.size() && values[end] == values[begin]) ++end;
    const size_t count = end - begin;
    runs.push_back(count == 1 ? std::to_string(values[begin])
                              : fmt::format("{}x{}", count, values[begin]));
  }
  return fmt::format("{}", fmt::join(runs, "+"));
}

std::string SliceLens(const JobConfig& config) {
  std::vector<int64_t> lens;
  for (const Slice& slice : config.slices) lens.push_back(slice.len);
  return RunLengthText(lens);
}

}  // namespace sluice
