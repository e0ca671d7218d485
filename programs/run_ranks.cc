#include "programs/run_ranks.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "core/backend/backend.h"
#include "core/cli/build_info.h"
#include "core/device/cpu/cpu_device.h"
#include "core/device/cpu/host_memory.h"
#include "parallel/comm/mpi/mpi_communicator.h"
#include "parallel/comm/nccl/device_communicator.h"
#include "parallel/exec/check_memory.h"
#include "parallel/exec/unit_layout.h"
#include "parallel/schedule/schedule.h"
#include "programs/gpu_use.h"
#include "programs/job_name.h"

namespace sluice {
namespace {

// The ranks on this rank's GPU, which are of this host; empty unless this is the first of them. A
// launcher fills one host after another.
std::vector<int> RanksOfGpu(const Job& job, int rank) {
  if (job.gpu_use == GpuUse::kExclusive) return {rank};
  const int num_gpus = NumDevices(job.device);
  if (MpiLocalRank() >= num_gpus) return {};
  std::vector<int> ranks;
  for (int local = MpiLocalRank(); local < MpiLocalWorldSize(); local += num_gpus) {
    ranks.push_back(rank - MpiLocalRank() + local);
  }
  return ranks;
}

// The first rank of each GPU checks the memory of that GPU, for all ranks there.
void CheckGpu(const Job& job, const JobPlan& plan, const MemoryPlan& memory, int rank) {
  const std::vector<int> ranks = RanksOfGpu(job, rank);
  if (ranks.empty()) return;
  const Backend backend = MakeBackend(job.BackendOf(rank));
  const KernelLimits limits = UnitLayout(plan, {}).limits();
  backend.kernels->WorkspaceBytes(limits);  // throws where there is no kernel
  CheckMemory(plan, memory, ranks,
              {.kind = job.device,
               .available_bytes = backend.device->available_bytes(),
               .runtime_bytes = backend.device->runtime_bytes()});
  backend.kernels->Reserve(limits);
}

// The first rank of each host checks the memory of that host, for all ranks there.
void CheckHost(const Job& job, const JobPlan& plan, const MemoryPlan& memory, int rank) {
  const int world_size = job.config.sizes.world_size();
  const int num_local = RanksAreProcesses(job.comm) ? MpiLocalWorldSize() : world_size;
  if (rank % num_local != 0) return;
  std::vector<int> ranks(static_cast<size_t>(std::min(num_local, world_size - rank)));
  std::iota(ranks.begin(), ranks.end(), rank);
  // Each rank has its own thread (that of its process, if it has one), the threads of its kernels,
  // and its share of the cores while it draws initial values.
  const int64_t own_threads = RanksAreProcesses(job.comm) ? 0 : 1;
  const int64_t drawing_threads = std::max(1, NumCores() / world_size) - 1;
  const int64_t num_threads = std::ssize(ranks) * (own_threads + job.threads - 1 + drawing_threads);
  CheckMemory(
      plan, memory, ranks,
      {.available_bytes = AvailableHostBytes(), .thread_bytes = ThreadAddressBytes(num_threads)});
}

void CheckMemoryOf(const Job& job, const JobPlan& plan, const MemoryPlan& memory, int rank) {
  if (job.device == DeviceKind::kCpu) return CheckHost(job, plan, memory, rank);
  CheckGpu(job, plan, memory, rank);
}

std::vector<FingerprintField> Fingerprint(const Job& job, const JobPlan& plan) {
  const JobConfig& config = plan.config;
  const ModelConfig& model = config.model;
  const BuildInfo& build = GetBuildInfo();
  return {{"commit", build.commit + " " + build.tree},
          {"compiler", build.compiler + " " + build.flags},
          {"scheme", job.scheme},
          {"device", std::string(Name(job.device))},
          {"comm", std::string(Name(job.comm))},
          {"share_gpu", job.gpu_use == GpuUse::kShared ? "true" : "false"},
          {"threads", std::to_string(job.threads)},
          {"attention", job.attention ? std::string(Name(*job.attention)) : "default"},
          {"kernels", std::string(Name(job.kernels))},
          {"dtype", std::string(Name(config.precision))},
          {"grad_dtype", std::string(Name(GradDType(config)))},
          {"model", model.name},
          {"num_layers", std::to_string(model.num_layers)},
          {"hidden_size", std::to_string(model.hidden_size)},
          {"seq_len", std::to_string(model.seq_len)},
          {"num_heads", std::to_string(model.num_heads)},
          {"batch_size", std::to_string(config.batch_size)},
          {"prefix_len", std::to_string(config.prefix_len)},
          {"loss", std::string(Name(config.loss))},
          {"seed", std::to_string(config.seed)},
          {"slices", SliceLens(config)},
          {"plan", std::string(Name(config.plan))},
          {"tensor_parallel_size", std::to_string(config.sizes.tensor)},
          {"data_parallel_size", std::to_string(config.sizes.data)},
          {"schedule", fmt::format("{:016x}", HashOf(plan.schedule))}};
}

}  // namespace

MemoryPlan PlanMemory(const Job& job, const JobPlan& plan, const RankNeeds& needs) {
  MemoryPlan memory =
      PlanMemory(plan, KernelWorkspaceBytes(job.BackendOf(0), UnitLayout(plan, {}).limits()));
  memory.host_bytes = needs.host_bytes;
  memory.apart_bytes = needs.device_bytes;
  return memory;
}

void CheckRanks(RankStarter& ranks, const Job& job, const JobPlan& plan, const MemoryPlan& memory,
                const std::vector<FingerprintField>& fingerprint) {
  if (ranks.world() == nullptr) {
    for (int rank = 0; rank < job.config.sizes.world_size(); ++rank) {
      CheckMemoryOf(job, plan, memory, rank);
    }
    return;
  }
  std::vector<FingerprintField> fields = Fingerprint(job, plan);
  fields.insert(fields.end(), fingerprint.begin(), fingerprint.end());
  CheckFingerprint(*ranks.world(), fields);
  if (job.gpu_use == GpuUse::kShared) CheckSharesGpu(*ranks.world());
  CheckMemoryOf(job, plan, memory, ranks.rank());
  ranks.world()->Barrier();
}

void RunRanks(RankStarter& ranks, const Job& job,
              const std::function<void(const RankEnvironment&)>& run_rank) {
  ranks.Run(job.config.sizes.world_size(), [&](Communicator& world) {
    Backend backend = MakeBackend(job.BackendOf(world.rank()));
    if (job.comm != CommKind::kNccl) return run_rank({world, world, backend});
    const std::unique_ptr<Communicator> gpus =
        MakeDeviceCommunicator(world, *backend.stream, job.gpu_use);
    run_rank({world, *gpus, backend});
  });
}

int RunRanks(const Job& job, const JobPlan& plan, const RankNeeds& needs,
             const std::function<void(const RankEnvironment&)>& run_rank) {
  return RunWithRanks(job.comm, {.timeout_s = job.timeout_s}, [&](RankStarter& ranks) {
    CheckRanks(ranks, job, plan, PlanMemory(job, plan, needs), needs.fingerprint);
    RunRanks(ranks, job, run_rank);
    return 0;
  });
}

bool HasFirstRank(const Job& job) { return !RanksAreProcesses(job.comm) || MpiRank() == 0; }

}  // namespace sluice
