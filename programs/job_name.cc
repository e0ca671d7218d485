#include "programs/job_name.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>

#include "parallel/schedule/slices.h"

namespace sluice {
namespace {

bool HasUniformSlices(const JobConfig& config) {
  return config.slices == UniformSlices(config.model.seq_len, std::ssize(config.slices));
}

}  // namespace

std::string NameOf(const Job& job, const JobPlan& plan) {
  const JobConfig& config = plan.config;
  std::string name = fmt::format("scheme:{}/model:{}/world_size:{}", job.scheme, config.model.name,
                                 config.sizes.world_size());
  const auto add = [&](std::string_view key, int64_t value) {
    if (value > 1) name += fmt::format("/{}:{}", key, value);
  };
  add("tensor_parallel_size", job.scheme == "megatron" ? 1 : config.sizes.tensor);
  add("data_parallel_size", config.sizes.data);
  add("batch_size", config.batch_size);
  add("num_micro_batches", config.num_micro_batches);
  if (HasUniformSlices(config)) {
    add("n_slices", static_cast<int64_t>(config.slices.size()));
  } else {
    name += "/slices:" + SliceLens(config);
  }
  add("num_chunks", config.num_chunks);
  if (plan.splits_sequence()) name += fmt::format("/plan:{}", Name(config.plan));
  if (config.prefix_len > 0) name += fmt::format("/prefix_len:{}", config.prefix_len);
  name += fmt::format("/device:{}/dtype:{}", Name(job.device), Name(config.precision));
  // A forward has no gradients.
  const DType grad_dtype = GradDType(config);
  if (config.pass == Pass::kStep && grad_dtype != AccumulatorDType(config.precision)) {
    name += fmt::format("/grad_dtype:{}", Name(grad_dtype));
  }
  return name + fmt::format("/pass:{}", NameOf(config.pass));
}

std::string NameOf(Pass pass) { return pass == Pass::kForward ? "forward" : "step"; }

std::string InRuns(const std::vector<int64_t>& values) {
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
  return InRuns(lens);
}

}  // namespace sluice
