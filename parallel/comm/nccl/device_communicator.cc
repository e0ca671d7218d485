#include "parallel/comm/nccl/device_communicator.h"

#include "core/base/check.h"
#include "core/device/cuda/cuda_device.h"
#include "parallel/comm/nccl/nccl_communicator.h"

namespace sluice {

const bool kBuiltWithNccl = true;

std::unique_ptr<Communicator> MakeDeviceCommunicator(Communicator& host, Stream& compute) {
  auto* stream = dynamic_cast<CudaStream*>(&compute);
  SLUICE_CHECK(stream != nullptr);
  return MakeNcclCommunicator(host, stream->handle());
}

}  // namespace sluice
