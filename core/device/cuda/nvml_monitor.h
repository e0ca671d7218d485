// A DeviceMonitor that asks NVML.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/device/cuda/nvml.h"
#include "core/device/device_monitor.h"

namespace sluice {

class NvmlMonitor : public DeviceMonitor {
 public:
  // Of the GPU with this PCI bus id.  Where NVML cannot be used, source() says why and there are no
  // samples.
  explicit NvmlMonitor(const std::string& pci_bus_id,
                       const std::string& library = NvmlDevice::kLibrary);
  ~NvmlMonitor() override;

  std::string source() const override;
  void Start() override;
  DeviceConditions Stop() override;

 private:
  void Run();

  std::unique_ptr<NvmlDevice> device_;  // null where there is none
  std::string error_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool is_stopping_ = false;
  std::vector<NvmlSample> samples_;  // of the thread until it is joined
};

}  // namespace sluice
