#include "programs/job.h"

#include <algorithm>

#include "parallel/comm/mpi/mpi_communicator.h"

namespace sluice {

int Job::DefaultThreads() const {
  const int num_local = RanksAreProcesses(comm) ? MpiLocalWorldSize() : config.sizes.world_size();
  return std::max(1, NumDevices(DeviceKind::kCpu) / num_local);
}

BackendOptions Job::BackendOf(int rank) const {
  // A launcher may make only its own GPU visible to a process. parallel/comm/nccl checks later
  // whether ranks may use one GPU together.
  int device_index = rank;
  if (device == DeviceKind::kCuda && RanksAreProcesses(comm)) {
    device_index = MpiLocalRank() % std::max(1, NumDevices(device));
  }
  return {.kind = device,
          .precision = config.precision,
          .num_threads = threads,
          .device_index = device_index,
          .attention = attention,
          .kernels = kernels};
}

}  // namespace sluice
