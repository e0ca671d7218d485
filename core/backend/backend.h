// A device, one stream of it and the kernels that run there: all that code above this layer needs
// to run on the cpu or on cuda alike.
//
//   Backend backend = MakeBackend({.kind = DeviceKind::kCpu, .num_threads = 2,
//                                  .precision = Precision::kFloat32});
//   backend.kernels->Reserve(limits);
//
// Each rank makes its own, on its own thread.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "core/device/device.h"
#include "core/kernels/causal_attention/attention_implementation.h"
#include "core/kernels/kernels.h"
#include "core/kernels/small_layer/small_layer_kernels.h"
#include "core/tensor/dtype.h"

namespace sluice {

// Which kernels compute the layers of the model.
enum class KernelsChoice : uint8_t {
  kAuto,      // on cuda those of small layers where they are preferred (small_layer_choice.h)
  kStandard,  // the same for all sizes
};

// "auto", "standard".
std::string_view Name(KernelsChoice choice);

struct BackendOptions {
  DeviceKind kind = DeviceKind::kCpu;
  Precision precision = Precision::kFloat32;
  int num_threads = 1;   // of the cpu
  int device_index = 0;  // of cuda
  std::optional<CausalAttentionImplementation> attention =
      std::nullopt;  // of cuda; else its choice
  KernelsChoice kernels = KernelsChoice::kAuto;
  // To move data and not to compute; on cuda a matrix library takes seconds to load.
  bool has_kernels = true;
};

struct Backend {
  std::unique_ptr<Device> device;
  std::unique_ptr<Stream> stream;
  std::unique_ptr<Kernels> kernels;  // enqueue on `stream`; null without has_kernels
  // The same for small layers; null where there are none, or KernelsChoice::kStandard.
  std::unique_ptr<SmallLayerKernels> small_layer = nullptr;
};

// Throws Error where the kind of device lacks the precision, naming those that it has, or the
// attention.  It looks at no device.
void CheckSupported(const BackendOptions& options);

// Throws Error as CheckSupported does, where this program was built without CUDA, and where the
// machine has no such device.
Backend MakeBackend(const BackendOptions& options);

// Bytes that the kernels of such a backend reserve for these limits; there need not be such a
// device.
int64_t KernelWorkspaceBytes(const BackendOptions& options, const KernelLimits& limits);

// Whether this program was built with CUDA, and so has DeviceKind::kCuda.
bool HasCuda();

// How many ranks this machine has room for, one a device: cores that this process may keep busy
// (core/device/cpu/cpu_limits.h), or GPUs.  Throws Error where the machine or this program has no
// such device.
int NumDevices(DeviceKind kind);

}  // namespace sluice
