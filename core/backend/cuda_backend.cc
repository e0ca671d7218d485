#include "core/backend/cuda_backend.h"

#include <memory>
#include <utility>

#include "core/device/cuda/cuda_device.h"
#include "core/kernels/cuda_kernels.h"
#include "core/kernels/small_layer/cuda_small_layer.h"

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
  const DType dtype = StorageDType(options.precision);
  std::unique_ptr<SmallLayerKernels> small_layer;
  if (options.has_kernels && options.kernels == KernelsChoice::kAuto && Is16Bit(dtype)) {
    small_layer = std::make_unique<cuda::CudaSmallLayer>(
        *device, *stream,
        cuda::CudaSmallLayerOptions{.dtype = dtype,
                                    .has_small_attention = !options.attention.has_value()});
  }
  return {std::move(device), std::move(stream), std::move(kernels), std::move(small_layer)};
}

int64_t CudaKernelWorkspaceBytes(const CudaBackendOptions& options, const KernelLimits& limits) {
  return CudaWorkspaceBytes(options.attention, limits);
}

}  // namespace sluice
