// The communicator of a device's ranks, for whoever has a Backend.  Two libraries implement it: one
// where NCCL was found when the program was built, one elsewhere.  So shared code needs no #ifdef
// and always links.
#pragma once

#include <memory>

#include "core/device/device.h"
#include "parallel/comm/communicator.h"
#include "parallel/comm/nccl/gpu_sharing.h"

namespace sluice {

// Whether this program was built with NCCL.
extern const bool kBuiltWithNccl;

// The version of NCCL that this program runs with, as ncclGetVersion returns it: 22809 for 2.28.9.
// Throws Error when the program was built without NCCL.
int NcclVersion();

// As MakeNcclCommunicator (nccl_communicator.h), for the compute stream of a CUDA device.  Throws
// Error when the program was built without NCCL.
std::unique_ptr<Communicator> MakeDeviceCommunicator(Communicator& host, Stream& compute,
                                                     GpuUse use = GpuUse::kExclusive);

}  // namespace sluice
