#include "parallel/comm/nccl/device_communicator.h"

#include <nccl.h>

#include "core/base/check.h"
#include "core/device/cuda/cuda_device.h"
#include "parallel/comm/nccl/nccl_communicator.h"

namespace sluice {

const bool kBuiltWithNccl = true;

int NcclVersion() {
  int version = 0;
  SLUICE_CHECK_EQ(static_cast<int>(ncclGetVersion(&version)), static_cast<int>(ncclSuccess));
  return version;
}

std::unique_ptr<Communicator> MakeDeviceCommunicator(Communicator& host, Stream& compute,
                                                     GpuUse use) {
  auto* stream = dynamic_cast<CudaStream*>(&compute);
  SLUICE_CHECK(stream != nullptr);
  return MakeNcclCommunicator(host, stream->handle(), use);
}

}  // namespace sluice
