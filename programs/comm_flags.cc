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

SLUICE_OPTIONAL_INT_FLAG(world_size, 1, sluice::kMaxRanks,
                         "all ranks; default: the product of the sizes along each axis where one "
                         "is given, else one a core (cpu) or GPU, or those started by mpirun");
SLUICE_CHOICE_FLAG(
    comm, "thread", (std::vector<std::string>{"thread", "mpi", "nccl"}),
    "ranks as threads of this process, or as processes (tools/launch); nccl: on a GPU "
    "each, as processes where a launcher starts them, else as threads");
SLUICE_NUMBER_FLAG(timeout_s, 300, 0.001, 1e6,
                   "seconds that a rank waits for another; with --share_gpu the default is 300 for "
                   "each rank of a host");
SLUICE_BOOL_FLAG(share_gpu, false,
                 "more ranks than GPUs, to prove a job on fewer: not a measurement; needs "
                 "--comm=nccl and a process for each rank (tools/launch/launch --ranks_per_gpu=K)");

namespace sluice {

namespace {

// Kernels of NCCL wait on the GPU for other ranks, and meanwhile everything else must go on.  What
// is set already stays.  Why each: docs/communication.md.
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

// The GPU runs the processes that share it one at a time.
double Deadline() {
  if (!FLAGS_share_gpu || WasGiven("timeout_s")) return FLAGS_timeout_s;
  return FLAGS_timeout_s * MpiLocalWorldSize();
}

// How many processes a launcher says that it has started.
struct ProcessCount {
  const char* launcher;
  const char* variable;
};
constexpr ProcessCount kProcessCounts[] = {
    {"mpirun", "OMPI_COMM_WORLD_SIZE"},          // Open MPI
    {"an MPI launcher", "PMI_SIZE"},             // MPICH, Intel MPI
    {"an MPI launcher", "MV2_COMM_WORLD_SIZE"},  // MVAPICH
    {"srun", "SLURM_STEP_NUM_TASKS"},            // of one step; an sbatch or salloc shell has 1
};

// Each of several processes would make all ranks, and time them beside the others'.
void RefuseThreadsInManyProcesses() {
  for (const ProcessCount& count : kProcessCounts) {
    const char* num_processes = std::getenv(count.variable);
    if (num_processes == nullptr || std::atol(num_processes) <= 1) continue;
    throw Error(fmt::format(
        "--comm=thread makes all ranks in one process, but {} has started {} ({}); give "
        "--comm=mpi, or nccl, under tools/launch/launch or srun --mpi=pmix",
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
