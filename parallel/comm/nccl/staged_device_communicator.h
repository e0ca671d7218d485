// StagedCommunicator over MakeDeviceCommunicator, for test programs that are built without CUDA
// too.
#pragma once

#include <memory>

#include "core/device/device.h"
#include "parallel/comm/communicator.h"
#include "parallel/comm/nccl/gpu_sharing.h"

namespace sluice {

// A communicator of host memory whose calls go through GPUs and NCCL.  Arguments and errors are
// those of MakeDeviceCommunicator.
std::unique_ptr<Communicator> MakeStagedDeviceCommunicator(Communicator& host, Stream& compute,
                                                           GpuUse use);

}  // namespace sluice
