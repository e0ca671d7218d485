// Launches of kernels that may start before the work ahead of them on the stream has ended
// (programmatic dependent launch, sm_90): the start overlaps the end of the kernel before.
//
// Such a kernel must call WaitForPreviousKernels (dependent_launch.cuh) on every path before it
// reads or writes what earlier work may touch, and may call AllowNextKernel to let one that is
// launched likewise start beside it.  What comes after it and is launched in the ordinary way waits
// for its end.  On an older GPU it is an ordinary launch.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <type_traits>

#include "core/device/cuda/cuda_check.h"

namespace sluice::cuda {

// kAfterPrevious is an ordinary launch: whatever was enqueued before has ended and can be read.
enum class LaunchStart : uint8_t { kOverlapped, kAfterPrevious };

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;  // dynamic
  LaunchStart start = LaunchStart::kOverlapped;
};

// Of the current device: an attribute, the number of multiprocessors, and 90 for compute capability
// 9.0.
int DeviceAttribute(cudaDeviceAttr attribute);
int NumMultiprocessors();
int ComputeCapability();

// Lets a block of `kernel` have so many bytes of dynamic shared memory: to be called before its
// launches that need more than 48 KiB.
template <typename... Params>
void AllowSharedBytes(void (*kernel)(Params...), size_t shared_bytes) {
  SLUICE_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         static_cast<int>(shared_bytes)));
}

// Whether the current device overlaps such launches.
bool OverlapsLaunches();

template <typename... Params>
void LaunchOverlapped(void (*kernel)(Params...), const LaunchShape& shape, cudaStream_t stream,
                      const std::type_identity_t<Params>&... args) {
  cudaLaunchAttribute overlap = {};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  config.attrs = &overlap;
  config.numAttrs = shape.start == LaunchStart::kOverlapped && OverlapsLaunches() ? 1 : 0;
  SLUICE_CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, args...));
}

}  // namespace sluice::cuda
