#include "correctness/parity/machines.h"

#include "parallel/comm/nccl/device_communicator.h"

namespace sluice {

Machine CpuMachine() {
  return {.make_backend = [](int, Precision precision) {
    return MakeBackend({.kind = DeviceKind::kCpu, .precision = precision});
  }};
}

Machine GpuMachine() {
  return {
      .make_backend =
          [](int rank, Precision precision) {
            return MakeBackend(
                {.kind = DeviceKind::kCuda, .precision = precision, .device_index = rank});
          },
      .connect = [](Communicator& world,
                    Backend& backend) { return MakeDeviceCommunicator(world, *backend.stream); }};
}

}  // namespace sluice
