#include "core/backend/cuda_backend.h"

#include <memory>
#include <utility>

#include "core/device/cuda/cuda_device.h"
#include "core/kernels/cuda_kernels.h"

namespace sluice {

const bool kBuiltWithCuda = true;

Backend MakeCudaBackend(const CudaBackendOptions& options) {
  auto device =
      std::make_unique<CudaDevice>(CudaDeviceOptions{.device_index = options.device_index});
  std::unique_ptr<CudaStream> stream = device->MakeCudaStream();
  std::unique_ptr<Kernels> kernels;
  if (options.has_kernels) {
    kernels = std::make_unique<CudaKernels>(*device, *stream, options.precision, options.attention);
  }
  return {std::move(device), std::move(stream), std::move(kernels)};
}

}  // namespace sluice
