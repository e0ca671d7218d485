#include "programs/job_flags.h"

#include <fmt/format.h>

#include <cctype>
#include <filesystem>
#include <memory>

#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/kernels/causal_attention/attention_implementation.h"
#include "parallel/comm/mpi/mpi_communicator.h"
#include "parallel/schedule/schedule_file.h"
#include "programs/comm_flags.h"
#include "programs/flag_names.h"
#include "programs/shared_flags.h"
#include "programs/workload_flags.h"

namespace sluice {
namespace {

constexpr std::string_view kFile = "file";
constexpr int64_t kMaxCount = 1 << 22;

}  // namespace
}  // namespace sluice

SLUICE_FLAG_GROUP("Parallelism and device");
SLUICE_CHOICE_FLAG(
    scheme, "single", sluice::SchemeNames(),
    "schedule: which rank computes what and when; megatron: single with all ranks tensor-parallel");
SLUICE_INPUT_PATH_FLAG(
    schedule_file,
    "file with a schedule, instead of --scheme, in the text form or in PyTorch's CSV; it sets the "
    "stages and the numbers of pipeline ranks, micro-batches and slices");
SLUICE_OPTIONAL_INT_FLAG(pipeline_parallel_size, 1, sluice::kMaxRanks,
                         "ranks that the layers are divided among");
SLUICE_OPTIONAL_INT_FLAG(tensor_parallel_size, 1, sluice::kMaxRanks,
                         "ranks that each layer is divided among");
SLUICE_OPTIONAL_INT_FLAG(data_parallel_size, 1, sluice::kMaxRanks,
                         "copies of the model that the batch is divided among");
SLUICE_CHOICE_FLAG(plan, "megatron", sluice::PlanNames(),
                   "how a layer is divided among tensor-parallel ranks");
SLUICE_INT_FLAG(n_slices, 1, 1, sluice::kMaxCount,
                "slices of the sequence; their lengths differ by at most one");
SLUICE_INT_LIST_FLAG(slices, 1, sluice::kMaxCount, "length of each slice, instead of --n_slices");
SLUICE_INT_FLAG(num_micro_batches, 1, 1, sluice::kMaxCount,
                "micro-batches that each data-parallel rank's batch is divided into");
SLUICE_INT_FLAG(num_chunks, 1, 1, sluice::kMaxCount,
                "stages on each rank, for the interleaved schemes");
SLUICE_INT_FLAG(prefix_len, 0, 0, sluice::kMaxExtent, "cached positions before the sequence");
SLUICE_DEVICE_FLAG();
SLUICE_CHOICE_FLAG(attention, "default", sluice::AttentionChoices(),
                   "kernels of causal attention on cuda");
SLUICE_CHOICE_FLAG(kernels, "auto", (std::vector<std::string>{"auto", "standard"}),
                   "kernels of layers on cuda; auto: small layers use kernels of their own; "
                   "standard: all layers use the same kernels");
SLUICE_THREADS_FLAG("the cores of the host, divided among its ranks");

namespace sluice {
namespace {

std::optional<int> Given(std::string_view flag, int64_t value) {
  return WasGiven(flag) ? std::optional<int>(static_cast<int>(value)) : std::nullopt;
}

std::string Factors(const ParallelSizes& sizes) {
  return fmt::format("pipeline_parallel_size {} x tensor_parallel_size {} x data_parallel_size {}",
                     sizes.pipeline, sizes.tensor, sizes.data);
}

int64_t Product(const ParallelSizes& sizes) {
  return CheckedProduct("the product of the parallel sizes",
                        {sizes.pipeline, sizes.tensor, sizes.data});
}

// Returns null without --schedule_file.
std::shared_ptr<const Schedule> ScheduleFromFlags() {
  if (!WasGiven("schedule_file")) return nullptr;
  for (const char* set_by_file :
       {"scheme", "num_micro_batches", "n_slices", "num_chunks", "pipeline_parallel_size"}) {
    RefuseTogether({"schedule_file", set_by_file});
  }
  auto schedule = std::make_shared<const Schedule>(ReadScheduleFile(FLAGS_schedule_file));
  CheckAsWritten(*schedule, FLAGS_schedule_file);
  return schedule;
}

// The name of the file without folder and extension, in characters that a result's name may have.
std::string ScheduleName(const Schedule& schedule) {
  std::string stem = std::filesystem::path(FLAGS_schedule_file).stem().string();
  for (char& c : stem) {
    const bool is_allowed = std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
    if (!is_allowed) c = '_';
  }
  return fmt::format("{}@{:016x}", stem, HashOf(schedule));
}

std::vector<Slice> SlicesFromFlags(int64_t seq_len, int64_t num_slices) {
  RefuseTogether({"n_slices", "slices"});
  if (WasGiven("slices")) return ParseSlices(FLAGS_slices, seq_len);
  return MakeWithFlagNames([&] { return UniformSlices(seq_len, num_slices); });
}

int DefaultWorldSize(const Job& job, const SchemeDefaults& defaults) {
  if (RanksAreProcesses(job.comm)) return MpiWorldSize();
  return defaults.default_world_size ? *defaults.default_world_size : NumDevices(job.device);
}

void CheckComm(const Job& job) {
  CheckIsBuilt(job.comm);
  if (job.comm != CommKind::kNccl || job.device == DeviceKind::kCuda) return;
  throw Error(
      "--comm=nccl moves bytes between GPUs and needs --device=cuda; on the cpu use --comm=thread "
      "or mpi");
}

// The GPUs of a launcher's processes are checked when NCCL connects them: parallel/comm/nccl.
void CheckNumGpus(const Job& job) {
  const int world_size = job.config.sizes.world_size();
  if (job.device != DeviceKind::kCuda || world_size == 1) return;
  if (job.comm != CommKind::kNccl) {
    throw Error(fmt::format(
        "world_size {} on cuda needs --comm=nccl: --comm={} moves memory of the host only",
        world_size, Name(job.comm)));
  }
  if (RanksAreProcesses(job.comm) || world_size <= NumDevices(job.device)) return;
  throw Error(
      fmt::format("world_size {} is more than the {} GPUs of this host; tools/launch/launch starts "
                  "ranks on several hosts, and with --ranks_per_gpu ranks that share a GPU",
                  world_size, NumDevices(job.device)));
}

void CheckWorldSize(const Job& job) {
  const int64_t world_size = Product(job.config.sizes);
  if (world_size > kMaxRanks) {
    throw Error(fmt::format("{} makes {} ranks; at most {} are allowed", Factors(job.config.sizes),
                            world_size, kMaxRanks));
  }
  if (RanksAreProcesses(job.comm) && world_size != MpiWorldSize()) {
    throw Error(fmt::format("world_size {} ({}) is not the number of processes started, {}",
                            world_size, Factors(job.config.sizes), MpiWorldSize()));
  }
}

}  // namespace

bool RequestsWorldSize(const SchemeChoice& scheme, const RequestedSizes& requested) {
  return scheme.own_axis == nullptr || requested.world_size || requested.pipeline ||
         requested.tensor || requested.data;
}

ParallelSizes ResolveSizes(const SchemeChoice& scheme, const RequestedSizes& requested,
                           int default_world_size) {
  ParallelSizes sizes = {.pipeline = requested.pipeline.value_or(1),
                         .tensor = requested.tensor.value_or(1),
                         .data = requested.data.value_or(1)};
  if (scheme.own_axis == &ParallelSizes::tensor && sizes.pipeline > 1) {
    throw Error(fmt::format(
        "pipeline_parallel_size {} is not allowed with scheme {}: it must be 1; for a pipeline "
        "whose layers are divided too, use another scheme, such as gpipe, with "
        "tensor_parallel_size",
        sizes.pipeline, scheme.name));
  }
  std::optional<int> world_size = requested.world_size;
  if (!RequestsWorldSize(scheme, requested)) world_size = default_world_size;
  if (!world_size) return sizes;

  const bool own_axis_is_given = scheme.own_axis == &ParallelSizes::tensor
                                     ? requested.tensor.has_value()
                                     : requested.pipeline.has_value();
  if (scheme.own_axis != nullptr && !own_axis_is_given && *world_size % Product(sizes) == 0) {
    sizes.*scheme.own_axis = static_cast<int>(*world_size / Product(sizes));
  }
  if (Product(sizes) != *world_size) {
    throw Error(fmt::format("world_size {} is not the product {} of {}", *world_size,
                            Product(sizes), Factors(sizes)));
  }
  return sizes;
}

Job JobFromFlags() { return JobFromFlags(WorkloadFromFlags(Precision::kFloat32)); }

Job JobFromFlags(const Workload& workload) {
  return JobFromFlags(workload, {.scheme = FLAGS_scheme, .schedule = ScheduleFromFlags()});
}

Job JobFromFlags(const Workload& workload, const SchemeDefaults& defaults) {
  const CommRequest comm = CommFromFlags();
  const SchemeChoice& scheme = *FindSchemeChoice(defaults.scheme);
  const std::shared_ptr<const Schedule>& schedule = defaults.schedule;
  Job job;
  job.scheme = schedule == nullptr ? defaults.scheme : std::string(kFile);
  if (schedule != nullptr) job.schedule_name = ScheduleName(*schedule);
  job.comm = comm.kind;
  job.gpu_use = comm.gpu_use;
  job.device = ParseDevice(FLAGS_device);
  job.timeout_s = comm.options.timeout_s;
  job.attention = ParseAttention(FLAGS_attention);
  job.kernels = FLAGS_kernels == "standard" ? KernelsChoice::kStandard : KernelsChoice::kAuto;
  CheckSupported({.kind = job.device,
                  .precision = workload.precision,
                  .attention = job.attention,
                  .kernels = job.kernels});
  CheckThreadsFlag(job.device);
  CheckComm(job);
  RequestedSizes requested = {
      .world_size = comm.world_size,
      .pipeline = Given("pipeline_parallel_size", FLAGS_pipeline_parallel_size),
      .tensor = Given("tensor_parallel_size", FLAGS_tensor_parallel_size),
      .data = Given("data_parallel_size", FLAGS_data_parallel_size)};
  if (schedule != nullptr) requested.pipeline = schedule->num_ranks;
  job.config = {.model = workload.model,
                .batch_size = workload.batch_size,
                .prefix_len = FLAGS_prefix_len,
                .loss = workload.loss,
                .seed = workload.seed,
                .precision = workload.precision,
                .grad_dtype = workload.grad_dtype,
                .scheme = std::string(scheme.scheme->name),
                .slices = SlicesFromFlags(workload.model.seq_len,
                                          schedule ? schedule->num_slices : FLAGS_n_slices),
                .num_micro_batches = schedule ? schedule->num_micro_batches
                                              : static_cast<int>(FLAGS_num_micro_batches),
                .num_chunks = static_cast<int>(FLAGS_num_chunks),
                .given_schedule = schedule,
                .sizes = ResolveSizes(scheme, requested, DefaultWorldSize(job, defaults)),
                .plan = ParsePlan(FLAGS_plan)};
  job.world_size_requested = RanksAreProcesses(job.comm) || RequestsWorldSize(scheme, requested);
  CheckWorldSize(job);
  CheckNumGpus(job);
  job.threads_requested = WasGiven("threads");
  job.threads = job.threads_requested ? static_cast<int>(FLAGS_threads) : job.DefaultThreads();
  return job;
}

JobPlan PlanFromFlags(const JobConfig& config) {
  return MakeWithFlagNames([&] { return PlanJob(config); });
}

}  // namespace sluice
