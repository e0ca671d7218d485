#include "programs/comm_flags.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/cli/flags.h"
#include "parallel/comm/mpi/mpi_communicator.h"
#include "parallel/comm/nccl/device_communicator.h"
#include "programs/gpu_use.h"

SLUICE_FLAG_GROUP("Ranks and communication");
SLUICE_OPTIONAL_INT_FLAG(world_size, 1, sluice::kMaxRanks,
                         "number of ranks; default: the processes that a launcher started, or the "
                         "product of the parallel sizes where one is given, or one rank for each "
                         "core (cpu) or GPU (cuda)");
SLUICE_CHOICE_FLAG(
    comm, "thread", (std::vector<std::string>{"thread", "mpi", "nccl"}),
    "how ranks run and communicate: thread: threads of this process; mpi: processes "
    "(tools/launch); nccl: one GPU each, in processes under a launcher, else in threads");
SLUICE_NUMBER_FLAG(timeout_s, 300, 0.001, 1e6,
                   "how long a rank waits for another before the job fails, in seconds; with "
                   "--share_gpu the default is 300 times the number of ranks on the host");
SLUICE_BOOL_FLAG(share_gpu, false,
                 "allow more ranks than GPUs, to check a job on fewer GPUs; its times are not a "
                 "measurement; needs --comm=nccl and one process per rank (tools/launch/launch "
                 "--ranks_per_gpu=K)");

namespace sluice {

namespace {

// NCCL's kernels wait on the GPU for other ranks, and all other work must continue meanwhile.
// Variables that are already set keep their values. docs/communication.md gives the reasons.
void PrepareForNccl() {
  constexpr int kKeep = 0;
  setenv("CUDA_MODULE_LOADING", "EAGER", kKeep);
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", kKeep);
  setenv("NCCL_GRAPH_MIXING_SUPPORT", "0", kKeep);
}

CommKind KindFromFlags() {
  for (const CommKind kind : {CommKind::kMpi, CommKind::kNccl}) {
    if (FLAGS_comm == Name(kind)) return kind;
  }
  return CommKind::kThread;
}

// A GPU runs the processes that share it one at a time.
double Deadline() {
  if (!FLAGS_share_gpu || WasGiven("timeout_s")) return FLAGS_timeout_s;
  return FLAGS_timeout_s * MpiLocalWorldSize();
}

// The variable in which a launcher gives the number of processes that it has started.
struct ProcessCount {
  const char* launcher;
  const char* variable;
};
constexpr ProcessCount kProcessCounts[] = {
    {"mpirun", "OMPI_COMM_WORLD_SIZE"},          // Open MPI
    {"an MPI launcher", "PMI_SIZE"},             // MPICH, Intel MPI
    {"an MPI launcher", "MV2_COMM_WORLD_SIZE"},  // MVAPICH
    {"srun", "SLURM_STEP_NUM_TASKS"},            // of this step; 1 in an sbatch or salloc shell
};

// Otherwise each process would run all ranks, and time them while the other processes run theirs.
void RefuseThreadsInManyProcesses() {
  for (const ProcessCount& count : kProcessCounts) {
    const char* num_processes = std::getenv(count.variable);
    if (num_processes == nullptr || std::atol(num_processes) <= 1) continue;
    throw Error(fmt::format(
        "--comm=thread runs all ranks in one process, but {} has started {} ({}); use --comm=mpi "
        "or nccl with tools/launch/launch or srun --mpi=pmix",
        count.launcher, num_processes, count.variable));
  }
}

}  // namespace

CommRequest CommFromFlags() {
  CommRequest request = {.kind = KindFromFlags()};
  if (FLAGS_share_gpu) {
    PrepareToShareGpu(request.kind);
    request.gpu_use = GpuUse::kShared;
  }
  request.options.timeout_s = Deadline();
  if (request.kind == CommKind::kThread) RefuseThreadsInManyProcesses();
  if (request.kind == CommKind::kNccl) PrepareForNccl();
  if (WasGiven("world_size")) request.world_size = static_cast<int>(FLAGS_world_size);
  return request;
}

void CheckIsBuilt(CommKind kind) {
  if (kind != CommKind::kNccl || kBuiltWithNccl) return;
  throw Error(
      "--comm=nccl is not in this program, which was built without it; communicators it has: "
      "thread, mpi");
}

int LaunchedWorldSize(const CommRequest& request) {
  const int num_processes = MpiWorldSize();
  if (request.world_size.value_or(num_processes) != num_processes) {
    throw Error(fmt::format("world_size {} is not the number of processes started, {}",
                            *request.world_size, num_processes));
  }
  return num_processes;
}

}  // namespace sluice
