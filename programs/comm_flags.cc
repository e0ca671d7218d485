#include "programs/comm_flags.h"

#include <string>
#include <vector>

#include "core/cli/flags.h"

SLUICE_OPTIONAL_INT_FLAG(world_size, 1, sluice::kMaxRanks,
                         "all ranks; default: the product of the sizes along each axis where one "
                         "is given, else one a core (cpu) or GPU, or those started by mpirun");
SLUICE_CHOICE_FLAG(comm, "thread", (std::vector<std::string>{"thread", "mpi"}),
                   "ranks as threads of this process, or as processes (tools/launch)");
SLUICE_NUMBER_FLAG(timeout_s, 300, 0.001, 1e6, "seconds that a rank waits for another");

namespace sluice {

CommRequest CommFromFlags() {
  CommRequest request = {.kind = FLAGS_comm == "mpi" ? CommKind::kMpi : CommKind::kThread,
                         .options = {.timeout_s = FLAGS_timeout_s}};
  if (WasGiven("world_size")) request.world_size = static_cast<int>(FLAGS_world_size);
  return request;
}

}  // namespace sluice
