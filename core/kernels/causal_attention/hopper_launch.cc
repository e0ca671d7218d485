#include "core/kernels/causal_attention/hopper_launch.h"

#include <cuda_runtime_api.h>

#include "core/device/cuda/cuda_check.h"

namespace sluice::cuda {

int NumMultiprocessors() {
  int device = 0;
  int count = 0;
  SLUICE_CUDA_CHECK(cudaGetDevice(&device));
  SLUICE_CUDA_CHECK(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device));
  return count;
}

bool HopperSupportsHeadDim(int64_t head_dim) {
  return head_dim == 64 || head_dim == 80 || head_dim == 96 || head_dim == 128;
}

}  // namespace sluice::cuda
