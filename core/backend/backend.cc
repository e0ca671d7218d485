#include "core/backend/backend.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>
#include <utility>
#include <vector>

#include "core/backend/cuda_backend.h"
#include "core/base/error.h"
#include "core/device/cpu/cpu_device.h"
#include "core/kernels/cpu_kernels.h"
#include "core/tensor/precisions.h"

namespace sluice {
namespace {

bool IsSupported(DeviceKind kind, Precision precision) {
  if (kind == DeviceKind::kCuda) return precision != Precision::kFloat64;
  return precision == Precision::kFloat32 || precision == Precision::kFloat64;
}

Backend MakeCpuBackend(const BackendOptions& options) {
  auto device = std::make_unique<CpuDevice>(CpuDeviceOptions{.num_threads = options.num_threads});
  std::unique_ptr<Stream> stream = device->MakeStream();
  std::unique_ptr<Kernels> kernels;
  if (options.has_kernels) {
    kernels = std::make_unique<CpuKernels>(*device, StorageDType(options.precision));
  }
  return {std::move(device), std::move(stream), std::move(kernels)};
}

}  // namespace

std::string_view Name(KernelsChoice choice) {
  return choice == KernelsChoice::kStandard ? "standard" : "auto";
}

void CheckSupported(const BackendOptions& options) {
  if (!IsSupported(options.kind, options.precision)) {
    std::vector<std::string_view> supported;
    for (const Precision precision : kPrecisions) {
      if (IsSupported(options.kind, precision)) supported.push_back(Name(precision));
    }
    throw Error(fmt::format("dtype {} is not supported on device {}; supported there: {}",
                            Name(options.precision), Name(options.kind),
                            fmt::join(supported, ", ")));
  }
  if (options.attention && options.kind == DeviceKind::kCpu) {
    throw Error(fmt::format("attention {} is for device cuda only; the cpu has its own",
                            Name(*options.attention)));
  }
  if (options.kernels != KernelsChoice::kAuto && options.kind == DeviceKind::kCpu) {
    throw Error(fmt::format("kernels {} is for device cuda only; the cpu has one set of kernels",
                            Name(options.kernels)));
  }
}

Backend MakeBackend(const BackendOptions& options) {
  CheckSupported(options);
  if (options.kind == DeviceKind::kCuda) {
    return MakeCudaBackend({.device_index = options.device_index,
                            .precision = options.precision,
                            .attention = options.attention,
                            .kernels = options.kernels,
                            .has_kernels = options.has_kernels});
  }
  return MakeCpuBackend(options);
}

int64_t KernelWorkspaceBytes(const BackendOptions& options, const KernelLimits& limits) {
  if (options.kind == DeviceKind::kCuda) {
    return CudaKernelWorkspaceBytes({.attention = options.attention}, limits);
  }
  return CpuWorkspaceBytes(StorageDType(options.precision), options.num_threads, limits);
}

int NumDevices(DeviceKind kind) { return kind == DeviceKind::kCpu ? NumCores() : NumCudaDevices(); }

bool HasCuda() { return kBuiltWithCuda; }

}  // namespace sluice
