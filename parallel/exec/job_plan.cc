#include "parallel/exec/job_plan.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "parallel/schedule/communication.h"
#include "parallel/schedule/find_error.h"
#include "parallel/schedule/schedule_file.h"
#include "parallel/schemes/schemes.h"

namespace sluice {
namespace {

// The common divisors of a and b, at most 24 of them: "1, 2, 4".
std::string CommonDivisors(int64_t a, int64_t b) {
  std::vector<int64_t> divisors;
  for (int64_t d = 1; d <= std::min(a, b) && d <= 100'000 && divisors.size() < 24; ++d) {
    if (a % d == 0 && b % d == 0) divisors.push_back(d);
  }
  return fmt::format("{}", fmt::join(divisors, ", "));
}

void CheckTensorParallel(const JobConfig& config) {
  const int64_t size = config.sizes.tensor;
  const int64_t heads = config.model.num_heads;
  const int64_t features = config.model.ffn_hidden_size();
  const std::string valid = CommonDivisors(heads, features);
  if (heads % size != 0) {
    throw Error(fmt::format("num_heads {} is not divisible by tensor_parallel_size {}; valid: {}",
                            heads, size, valid));
  }
  if (features % size != 0) {
    throw Error(
        fmt::format("ffn_hidden_size {} is not divisible by tensor_parallel_size {}; valid: {}",
                    features, size, valid));
  }
  if (config.plan != PlanKind::kMegatronSequenceParallel) return;
  for (const Slice& slice : config.slices) {
    if (slice.len % size != 0) {
      throw Error(
          fmt::format("a slice of {} positions is not divisible by tensor_parallel_size {}, as "
                      "sequence parallelism needs it",
                      slice.len, size));
    }
  }
}

void CheckBatch(const JobConfig& config) {
  const int64_t parts = CheckedProduct("data_parallel_size x num_micro_batches",
                                       {config.sizes.data, config.num_micro_batches});
  if (config.batch_size % parts != 0) {
    throw Error(
        fmt::format("batch_size {} is not divisible by {} micro-batches (data_parallel_size {} x "
                    "num_micro_batches {})",
                    config.batch_size, parts, config.sizes.data, config.num_micro_batches));
  }
}

void CheckAtLeast(std::string_view name, int64_t value, int64_t min) {
  if (value >= min) return;
  throw Error(fmt::format("{} {} is not allowed: it must be at least {}", name, value, min));
}

void CheckCounts(const JobConfig& config) {
  CheckAtLeast("batch_size", config.batch_size, 1);
  CheckAtLeast("prefix_len", config.prefix_len, 0);
  CheckAtLeast("num_micro_batches", config.num_micro_batches, 1);
  CheckAtLeast("num_chunks", config.num_chunks, 1);
  CheckAtLeast("pipeline_parallel_size", config.sizes.pipeline, 1);
  CheckAtLeast("tensor_parallel_size", config.sizes.tensor, 1);
  CheckAtLeast("data_parallel_size", config.sizes.data, 1);
  const int64_t world_size =
      CheckedProduct("pipeline_parallel_size x tensor_parallel_size x data_parallel_size",
                     {config.sizes.pipeline, config.sizes.tensor, config.sizes.data});
  if (world_size > std::numeric_limits<int>::max()) {
    throw Error(fmt::format("world_size {} is not allowed: it must be at most {}", world_size,
                            std::numeric_limits<int>::max()));
  }
}

// Throws Error unless the slices follow each other from the first to the last position.
void CheckSlices(const JobConfig& config) {
  int64_t end = 0;
  for (size_t i = 0; i < config.slices.size(); ++i) {
    const Slice& slice = config.slices[i];
    if (slice.begin != end || slice.len < 1 || slice.len > config.model.seq_len - end) {
      throw Error(
          fmt::format("slice {} of {} positions from {} is not allowed: slices have at least one "
                      "position, the next begins at {}, and seq_len is {}",
                      i, slice.len, slice.begin, end, config.model.seq_len));
    }
    end += slice.len;
  }
  if (end == config.model.seq_len) return;
  throw Error(fmt::format("slices sum to {}, but seq_len is {}", end, config.model.seq_len));
}

void CheckGradDType(const JobConfig& config) {
  const DType accumulator = AccumulatorDType(config.precision);
  const DType storage = StorageDType(config.precision);
  if (!config.grad_dtype || config.grad_dtype == accumulator || config.grad_dtype == storage)
    return;
  std::string allowed(Name(storage));
  if (storage != accumulator) allowed += fmt::format(" or {}", Name(accumulator));
  throw Error(fmt::format("grad_dtype {} is not allowed with dtype {}: it must be {}",
                          Name(*config.grad_dtype), Name(config.precision), allowed));
}

// Throws Error if a later sum of sizes could overflow. A layer has fewer than kTensorsOfLayer
// tensors of the size of its input.
void CheckSizes(const JobConfig& config) {
  constexpr int64_t kBytesOfElement = 8;
  constexpr int64_t kTensorsOfLayer = 64;
  CheckedProduct("the size of weights and their gradients in bytes",
                 {NumParameters(config.model), 2, kBytesOfElement});
  const int64_t positions =
      CheckedSum("prefix_len + seq_len", config.prefix_len, config.model.seq_len);
  CheckedProduct("the size of the activations in bytes",
                 {positions, config.batch_size, config.model.hidden_size, config.model.num_layers,
                  kTensorsOfLayer, kBytesOfElement});
}

void CheckGivenSchedule(const JobConfig& config) {
  const Schedule& given = *config.given_schedule;
  const auto check = [](std::string_view name, int64_t value, std::string_view what,
                        int64_t count) {
    if (value == count) return;
    throw Error(
        fmt::format("{} {} is not allowed: the schedule has {} {}", name, value, count, what));
  };
  check("pipeline_parallel_size", config.sizes.pipeline, "ranks", given.num_ranks);
  check("num_micro_batches", config.num_micro_batches, "micro-batches", given.num_micro_batches);
  check("number of slices", std::ssize(config.slices), "slices", given.num_slices);
  if (config.pass == Pass::kStep && given.pass == Pass::kForward) {
    throw Error("pass step is not allowed: the schedule has no backward ops; valid: forward");
  }
}

// The schedule of `config` with communication.
Schedule ScheduleOf(const JobConfig& config) {
  if (config.given_schedule != nullptr) {
    CheckGivenSchedule(config);
    const Schedule& given = *config.given_schedule;
    return WithCommunication(config.pass == Pass::kForward ? ForwardOf(given) : given);
  }
  const ScheduleShape shape = {.num_ranks = config.sizes.pipeline,
                               .num_micro_batches = config.num_micro_batches,
                               .num_slices = static_cast<int>(config.slices.size()),
                               .num_chunks = config.num_chunks,
                               .pass = config.pass};
  return AddCommunication(BuildSchedule(FindScheme(config.scheme), shape));
}

}  // namespace

RankCoordinates CoordinatesOf(int rank, const ParallelSizes& sizes) {
  SLUICE_CHECK(rank >= 0 && rank < sizes.world_size());
  return {.pipeline = rank / sizes.tensor % sizes.pipeline,
          .tensor = rank % sizes.tensor,
          .data = rank / sizes.tensor / sizes.pipeline};
}

int RankOf(const RankCoordinates& coordinates, const ParallelSizes& sizes) {
  return (coordinates.data * sizes.pipeline + coordinates.pipeline) * sizes.tensor +
         coordinates.tensor;
}

DType GradDType(const JobConfig& config) {
  const DType accumulator = AccumulatorDType(config.precision);
  const DType dtype = config.grad_dtype.value_or(accumulator);
  SLUICE_CHECK(dtype == accumulator || dtype == StorageDType(config.precision));
  return dtype;
}

JobPlan PlanJob(JobConfig config) {
  Validate(config.model);
  CheckCounts(config);
  CheckGradDType(config);
  if (config.slices.empty()) config.slices = UniformSlices(config.model.seq_len, 1);
  CheckSlices(config);
  CheckSizes(config);
  CheckBatch(config);
  CheckTensorParallel(config);

  if (config.loss == LossKind::kNone && config.pass == Pass::kStep) {
    throw Error("loss none is not allowed for a step: its backward starts from the loss");
  }
  JobPlan plan;
  plan.schedule = ScheduleOf(config);
  if (const auto error = FindError(plan.schedule)) {
    throw Error(fmt::format("the schedule of '{}' is wrong: {}", config.scheme, *error));
  }
  plan.layers_of_stage = SplitLayers(config.model.num_layers, plan.schedule.num_stages);
  plan.stages_of_rank.resize(plan.schedule.num_ranks);
  for (int stage = 0; stage < plan.schedule.num_stages; ++stage) {
    const int rank = plan.schedule.rank_of_stage[stage];
    std::vector<int>& stages = plan.stages_of_rank[rank];
    plan.place_of_stage.push_back(static_cast<int>(stages.size()));
    stages.push_back(stage);
  }
  plan.micro_batch_size = config.batch_size / config.sizes.data / config.num_micro_batches;
  plan.config = std::move(config);
  return plan;
}

}  // namespace sluice
