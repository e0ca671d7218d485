#include "programs/comm_kind.h"

#include "parallel/comm/mpi/mpi_communicator.h"

namespace sluice {

std::string_view Name(CommKind kind) {
  switch (kind) {
    case CommKind::kThread:
      return "thread";
    case CommKind::kMpi:
      return "mpi";
    case CommKind::kNccl:
      return "nccl";
  }
  return "?";
}

bool RanksAreProcesses(CommKind kind) {
  return kind == CommKind::kMpi || (kind == CommKind::kNccl && IsLaunched());
}

DeviceKind DeviceOf(CommKind kind) {
  return kind == CommKind::kNccl ? DeviceKind::kCuda : DeviceKind::kCpu;
}

}  // namespace sluice
