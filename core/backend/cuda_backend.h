// The cuda side of MakeBackend.  Two libraries implement it: cuda_backend, where the toolkit was
// found when the program was built, and no_cuda_backend elsewhere.  So shared code needs no #ifdef
// and always links.
#pragma once

#include "core/backend/backend.h"

namespace sluice {

struct CudaBackendOptions {
  int device_index = 0;
  Precision precision = Precision::kFloat32;
  std::optional<CausalAttentionImplementation> attention = std::nullopt;
  KernelsChoice kernels = KernelsChoice::kAuto;
  bool has_kernels = true;
};

extern const bool kBuiltWithCuda;

// Throws Error when the program was built without CUDA, or the machine has no such GPU.
Backend MakeCudaBackend(const CudaBackendOptions& options);

// The cuda side of KernelWorkspaceBytes; throws Error when the program was built without CUDA.
int64_t CudaKernelWorkspaceBytes(const CudaBackendOptions& options, const KernelLimits& limits);

// As in core/device/cuda/cuda_device.h; throws Error when the program was built without CUDA.
int NumCudaDevices();

}  // namespace sluice
