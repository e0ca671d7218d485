#include "core/backend/backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/backend/cuda_backend.h"
#include "core/base/error.h"
#include "core/device/cpu/cpu_device.h"
#include "core/kernels/cpu_kernels.h"

namespace sluice {
namespace {

const std::vector<Precision>& SupportedPrecisions(DeviceKind kind) {
  static const std::vector<Precision> cpu = {Precision::kFloat32, Precision::kFloat64};
  static const std::vector<Precision> cuda = {Precision::kFloat32, Precision::kTf32,
                                              Precision::kBFloat16, Precision::kFloat16};
  return kind == DeviceKind::kCpu ? cpu : cuda;
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

void CheckSupported(DeviceKind kind, Precision precision) {
  const std::vector<Precision>& supported = SupportedPrecisions(kind);
  if (std::find(supported.begin(), supported.end(), precision) != supported.end()) return;
  std::string names;
  for (const Precision p : supported) {
    if (!names.empty()) names += ", ";
    names += Name(p);
  }
  throw Error(fmt::format("dtype {} is not supported on device {}; supported there: {}",
                          Name(precision), Name(kind), names));
}

Backend MakeBackend(const BackendOptions& options) {
  CheckSupported(options.kind, options.precision);
  if (options.kind == DeviceKind::kCuda) {
    return MakeCudaBackend({.device_index = options.device_index,
                            .precision = options.precision,
                            .attention = options.attention,
                            .has_kernels = options.has_kernels});
  }
  if (options.attention) {
    throw Error(fmt::format("attention {} is for device cuda only; the cpu has its own",
                            Name(*options.attention)));
  }
  return MakeCpuBackend(options);
}

int NumDevices(DeviceKind kind) { return kind == DeviceKind::kCpu ? NumCores() : NumCudaDevices(); }

bool HasCuda() { return kBuiltWithCuda; }

}  // namespace sluice
