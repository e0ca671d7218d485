#include "core/kernels/cuda/launch.h"

namespace sluice::cuda {

int DeviceAttribute(cudaDeviceAttr attribute) {
  int device = 0;
  int value = 0;
  SLUICE_CUDA_CHECK(cudaGetDevice(&device));
  SLUICE_CUDA_CHECK(cudaDeviceGetAttribute(&value, attribute, device));
  return value;
}

int NumMultiprocessors() { return DeviceAttribute(cudaDevAttrMultiProcessorCount); }

int ComputeCapability() {
  return 10 * DeviceAttribute(cudaDevAttrComputeCapabilityMajor) +
         DeviceAttribute(cudaDevAttrComputeCapabilityMinor);
}

bool OverlapsLaunches() { return ComputeCapability() >= 90; }

}  // namespace sluice::cuda
