#include "core/base/error.h"
#include "parallel/comm/nccl/staged_device_communicator.h"

namespace sluice {

std::unique_ptr<Communicator> MakeStagedDeviceCommunicator(Communicator&, Stream&, GpuUse) {
  throw Error("NCCL is not in this program, which was built without it");
}

}  // namespace sluice
