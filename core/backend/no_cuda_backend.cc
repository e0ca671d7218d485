#include "core/backend/cuda_backend.h"
#include "core/base/error.h"

namespace sluice {

const bool kBuiltWithCuda = false;

Backend MakeCudaBackend(const CudaBackendOptions&) {
  throw Error(
      "device cuda is not in this program, which was built without it; devices it has: cpu");
}

}  // namespace sluice
