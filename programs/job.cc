#include "programs/job.h"

#include "parallel/comm/mpi/mpi_communicator.h"

namespace sluice {

BackendOptions Job::BackendOf(int rank) const {
  const int num_local = comm == CommKind::kMpi ? MpiLocalWorldSize() : config.sizes.world_size();
  return {.kind = device,
          .precision = config.precision,
          .num_threads = threads,
          .device_index = rank % num_local};
}

}  // namespace sluice
