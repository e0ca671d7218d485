#include "programs/gpu_use.h"

#include <fmt/format.h>

#include <cstdlib>

#include "core/backend/backend.h"
#include "core/base/error.h"
#include "parallel/comm/mpi/mpi_communicator.h"
#include "parallel/comm/nccl/device_communicator.h"

namespace sluice {

void PrepareToShareGpu(CommKind kind) {
  if (kind != CommKind::kNccl) {
    throw Error(fmt::format(
        "--share_gpu needs ranks on GPUs, which --comm=nccl makes; with --comm={} ranks "
        "use the memory of the host",
        Name(kind)));
  }
  if (!RanksAreProcesses(kind)) {
    throw Error(
        "--share_gpu needs a process for each rank, but without a launcher the ranks are threads; "
        "start the program with tools/launch/launch --ranks_per_gpu=K");
  }
  constexpr int kKeep = 0;
  const int num_hosts = MpiWorldSize() / MpiLocalWorldSize();
  for (const EnvironmentVariable& variable : SharingEnvironment(
           {.nccl_version = NcclVersion(), .rank = MpiRank(), .num_hosts = num_hosts})) {
    setenv(variable.name.c_str(), variable.value.c_str(), kKeep);
  }
}

void CheckSharesGpu(Communicator& world) {
  if (MpiLocalRank() == 0) {
    const int num_gpus = NumDevices(DeviceKind::kCuda);
    if (MpiLocalWorldSize() <= num_gpus) {
      throw Error(
          fmt::format("--share_gpu is for more ranks than GPUs, but this host has {} GPUs for its "
                      "{} ranks; omit it, or start more ranks",
                      num_gpus, MpiLocalWorldSize()));
    }
  }
  world.Barrier();
}

}  // namespace sluice
