#include "parallel/comm/nccl/staged_device_communicator.h"

#include "core/base/check.h"
#include "core/device/cuda/cuda_device.h"
#include "parallel/comm/nccl/device_communicator.h"
#include "parallel/comm/nccl/staged_communicator.h"

namespace sluice {

std::unique_ptr<Communicator> MakeStagedDeviceCommunicator(Communicator& host, Stream& compute,
                                                           GpuUse use) {
  auto* stream = dynamic_cast<CudaStream*>(&compute);
  SLUICE_CHECK(stream != nullptr);
  return MakeStagedCommunicator(MakeDeviceCommunicator(host, compute, use), stream->handle());
}

}  // namespace sluice
