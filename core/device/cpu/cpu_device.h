// The host's CPU as a Device: host memory, and a pool of threads that the kernels of one rank
// share.
#pragma once

#include <memory>

#include "core/device/cpu/thread_pool.h"
#include "core/device/device.h"

namespace sluice {

struct CpuDeviceOptions {
  int num_threads = 1;
};

class CpuDevice : public Device {
 public:
  explicit CpuDevice(CpuDeviceOptions options);

  DeviceKind kind() const override { return DeviceKind::kCpu; }
  std::string description() const override;
  int64_t available_bytes() const override;
  std::unique_ptr<Stream> MakeStream() override;
  void CopyFromHost(void* to, const void* from_host, int64_t size_bytes) override;
  void CopyToHost(void* to_host, const void* from, int64_t size_bytes) override;

  ThreadPool& pool() { return pool_; }

 protected:
  void* AllocateBytes(int64_t size_bytes) override;
  void FreeBytes(void* data, int64_t size_bytes) override;

 private:
  ThreadPool pool_;
};

// Cores that this process may keep busy: those that its affinity allows, or fewer where a quota
// gives it less (cpu_limits.h).
int NumCores();

}  // namespace sluice
