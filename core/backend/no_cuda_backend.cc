#include "core/backend/cuda_backend.h"
#include "core/base/error.h"

namespace sluice {
namespace {

[[noreturn]] void ThrowNoCuda() {
  throw Error(
      "device cuda is not in this program, which was built without it; devices it has: cpu");
}

}  // namespace

const bool kBuiltWithCuda = false;

Backend MakeCudaBackend(const CudaBackendOptions&) { ThrowNoCuda(); }

int64_t CudaKernelWorkspaceBytes(const CudaBackendOptions&, const KernelLimits&) { ThrowNoCuda(); }

int NumCudaDevices() { ThrowNoCuda(); }

}  // namespace sluice
