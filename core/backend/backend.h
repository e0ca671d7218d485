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

#include "core/device/device.h"
#include "core/kernels/causal_attention/attention_implementation.h"
#include "core/kernels/kernels.h"
#include "core/tensor/dtype.h"

namespace sluice {

struct BackendOptions {
  DeviceKind kind = DeviceKind::kCpu;
  Precision precision = Precision::kFloat32;
  int num_threads = 1;   // of the cpu
  int device_index = 0;  // of cuda
  std::optional<CausalAttentionImplementation> attention =
      std::nullopt;  // of cuda; else its choice
  // To move data and not to compute; on cuda a matrix library takes seconds to load.
  bool has_kernels = true;
};

struct Backend {
  std::unique_ptr<Device> device;
  std::unique_ptr<Stream> stream;
  std::unique_ptr<Kernels> kernels;  // enqueue on `stream`; null without has_kernels
};

// Throws Error where the kind of device lacks the precision, naming those that it has, or the
// attention.  It looks at no device.
void CheckSupported(const BackendOptions& options);

// Throws Error as CheckSupported does, where this program was built without CUDA, and where the
// machine has no such device.
Backend MakeBackend(const BackendOptions& options);

// Whether this program was built with CUDA, and so has DeviceKind::kCuda.
bool HasCuda();

// How many ranks this machine has room for, one a device: cores that this process may keep busy
// (core/device/cpu/cpu_limits.h), or GPUs.  Throws Error where the machine or this program has no
// such device.
int NumDevices(DeviceKind kind);

}  // namespace sluice
