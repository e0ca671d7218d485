// One GPU as NVIDIA's management library (NVML) sees it: what CUDA does not tell.
//
//   NvmlDevice gpu("0000:1B:00.0");
//   gpu.Sample().sm_clock_mhz;
//
// The library is opened when the first object is made.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "third_party/nvml/nvml_abi.h"

namespace sluice {

// What the driver does not support is absent.
struct NvmlSample {
  std::optional<double> sm_clock_mhz;
  std::optional<double> memory_clock_mhz;
  std::optional<double> power_w;  // now; the mean over a second where the driver has no other
  std::optional<double> temperature_c;
  std::optional<uint64_t> clocks_event_reasons;  // NamesOfClocksEventReasons
};

// "gpu_idle", "sw_power_cap", ... of the bits that are set, from the lowest; a bit without a name
// is "bit_N".
std::vector<std::string> NamesOfClocksEventReasons(uint64_t reasons);

class NvmlDevice {
 public:
  static constexpr const char* kLibrary = "libnvidia-ml.so.1";

  // The GPU with this PCI bus id ("0000:1B:00.0").  Throws Error where there is no library, no
  // driver or no such GPU.
  explicit NvmlDevice(const std::string& pci_bus_id, const std::string& library = kLibrary);
  ~NvmlDevice();

  NvmlDevice(const NvmlDevice&) = delete;
  NvmlDevice& operator=(const NvmlDevice&) = delete;

  // Now.  Takes some tens of microseconds, and does not wait for the GPU's work.
  NvmlSample Sample() const;

  // The highest clock that the GPU has; the power that it may take.
  std::optional<double> max_sm_clock_mhz() const;
  std::optional<double> power_limit_w() const;

  // Bytes of the GPU's memory that this process holds, its context and kernels among them; absent
  // where the driver does not tell them by process.
  std::optional<int64_t> ProcessBytes() const;

 private:
  template <typename Function>
  Function Find(const char* name) const;
  std::optional<double> PowerW() const;

  void* library_ = nullptr;
  NvmlHandle handle_ = nullptr;
  NvmlNoArguments shutdown_ = nullptr;
  NvmlClockInfo clock_info_ = nullptr;
  NvmlClockInfo max_clock_info_ = nullptr;
  NvmlPower power_usage_ = nullptr;
  NvmlPower power_limit_ = nullptr;
  NvmlFieldValues field_values_ = nullptr;
  NvmlTemperature temperature_ = nullptr;
  NvmlClocksEventReasons clocks_event_reasons_ = nullptr;
  NvmlComputeProcesses compute_processes_ = nullptr;
};

}  // namespace sluice
