#include "core/base/error.h"
#include "parallel/comm/nccl/device_communicator.h"

namespace sluice {

const bool kBuiltWithNccl = false;

namespace {

[[noreturn]] void ThrowNoNccl() {
  throw Error("NCCL is not in this program, which was built without it");
}

}  // namespace

int NcclVersion() { ThrowNoNccl(); }

std::unique_ptr<Communicator> MakeDeviceCommunicator(Communicator&, Stream&, GpuUse) {
  ThrowNoNccl();
}

}  // namespace sluice
