// The fake's streams, for the fake's NCCL.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

namespace sluice::fake {

// What a stream does when it gets there; it may wait.
using Work = std::function<void()>;

// At the end of the stream, or of what is captured from it.
void Enqueue(cudaStream_t stream, Work work);

// The device of the calling thread.
int CurrentDevice();

// Devices from this number on have the UUID of device 0.
void SetNumDistinctDevices(int count);

}  // namespace sluice::fake
