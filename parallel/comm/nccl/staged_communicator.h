// A communicator of GPUs for memory of the host, so that tests written for that (conformance/) run
// on GPUs: each call goes through memory of the device, and has done its work when it returns.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>

#include "parallel/comm/communicator.h"

namespace sluice {

// `device` works on `compute`; all its ranks make theirs together.
std::unique_ptr<Communicator> MakeStagedCommunicator(std::unique_ptr<Communicator> device,
                                                     cudaStream_t compute);

}  // namespace sluice
