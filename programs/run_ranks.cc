#include "programs/run_ranks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "core/cli/build_info.h"
#include "parallel/comm/comm_error.h"
#include "parallel/comm/fingerprint.h"
#include "parallel/comm/mpi/mpi_communicator.h"
#include "parallel/comm/thread/thread_communicator.h"
#include "parallel/exec/check_memory.h"
#include "parallel/schedule/schedule_text.h"

namespace sluice {
namespace {

// The first rank of each host asks for all ranks of that host; a launcher fills one host after
// another.  A GPU is asked by its own rank, when the executor allocates.
void CheckHostMemory(const Job& job, const JobPlan& plan, int64_t host_bytes, int rank) {
  const int world_size = job.config.sizes.world_size();
  const int num_local = job.comm == CommKind::kMpi ? MpiLocalWorldSize() : world_size;
  if (job.device != DeviceKind::kCpu || rank % num_local != 0) return;
  std::vector<int> ranks(static_cast<size_t>(std::min(num_local, world_size - rank)));
  std::iota(ranks.begin(), ranks.end(), rank);
  CheckMemory(plan, ranks, MakeBackend({.precision = plan.config.precision}), host_bytes);
}

std::vector<FingerprintField> Fingerprint(const Job& job, const JobPlan& plan) {
  const JobConfig& config = plan.config;
  const ModelConfig& model = config.model;
  const BuildInfo& build = GetBuildInfo();
  const size_t schedule_hash = std::hash<std::string>()(FormatSchedule(plan.schedule));
  std::vector<int64_t> slice_lens;
  for (const Slice& slice : config.slices) slice_lens.push_back(slice.len);
  return {{"commit", build.commit + " " + build.tree},
          {"compiler", build.compiler + " " + build.flags},
          {"scheme", job.scheme},
          {"device", std::string(Name(job.device))},
          {"dtype", std::string(Name(config.precision))},
          {"model", model.name},
          {"num_layers", std::to_string(model.num_layers)},
          {"hidden_size", std::to_string(model.hidden_size)},
          {"seq_len", std::to_string(model.seq_len)},
          {"num_heads", std::to_string(model.num_heads)},
          {"batch_size", std::to_string(config.batch_size)},
          {"prefix_len", std::to_string(config.prefix_len)},
          {"loss", std::string(Name(config.loss))},
          {"seed", std::to_string(config.seed)},
          {"slices", fmt::format("{}", fmt::join(slice_lens, ","))},
          {"plan", std::string(Name(config.plan))},
          {"tensor_parallel_size", std::to_string(config.sizes.tensor)},
          {"data_parallel_size", std::to_string(config.sizes.data)},
          {"schedule", fmt::format("{:016x}", schedule_hash)}};
}

}  // namespace

int RunRanks(const Job& job, const JobPlan& plan, int64_t host_bytes,
             const std::function<void(const RankEnvironment&)>& run_rank) {
  const CommOptions comm = {.timeout_s = job.timeout_s};
  const auto run = [&](Communicator& world) {
    if (job.comm == CommKind::kMpi) {
      CheckFingerprint(world, Fingerprint(job, plan));
      CheckHostMemory(job, plan, host_bytes, world.rank());
      world.Barrier();
    }
    Backend backend = MakeBackend(job.BackendOf(world.rank()));
    run_rank({world, backend});
  };
  if (job.comm == CommKind::kMpi) return RunMpiRank(comm, run);
  CheckHostMemory(job, plan, host_bytes, 0);
  return RunReportingFaults([&] {
    RunThreadRanks({.world_size = job.config.sizes.world_size(), .comm = comm}, run);
    return 0;
  });
}

bool HasFirstRank(const Job& job) { return job.comm != CommKind::kMpi || MpiRank() == 0; }

}  // namespace sluice
