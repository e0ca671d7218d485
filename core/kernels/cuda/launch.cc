#include "core/kernels/cuda/launch.h"

namespace sluice::cuda {

bool OverlapsLaunches() {
  int device = 0;
  int major = 0;
  SLUICE_CUDA_CHECK(cudaGetDevice(&device));
  SLUICE_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  return major >= 9;
}

}  // namespace sluice::cuda
