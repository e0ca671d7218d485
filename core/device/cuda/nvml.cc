#include "core/device/cuda/nvml.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <limits>

#include "core/base/error.h"

namespace sluice {
namespace {

// By bit.
constexpr std::array<const char*, 9> kReasonNames = {
    "gpu_idle",      "applications_clocks", "sw_power_cap",        "hw_slowdown",
    "sync_boost",    "sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake",
    "display_clocks"};

// `function` may be missing from an older library.
template <typename Value, typename Function, typename... Arguments>
std::optional<Value> Ask(Function function, Arguments... arguments) {
  Value value = 0;
  if (function == nullptr || function(arguments..., &value) != 0) return std::nullopt;
  return value;
}

std::optional<double> Scaled(std::optional<unsigned> value, double scale) {
  if (!value) return std::nullopt;
  return *value * scale;
}

}  // namespace

std::vector<std::string> NamesOfClocksEventReasons(uint64_t reasons) {
  std::vector<std::string> names;
  for (size_t bit = 0; bit < 64; ++bit) {
    if ((reasons >> bit & 1) == 0) continue;
    names.push_back(bit < kReasonNames.size() ? kReasonNames[bit] : fmt::format("bit_{}", bit));
  }
  return names;
}

template <typename Function>
Function NvmlDevice::Find(const char* name) const {
  return reinterpret_cast<Function>(dlsym(library_, name));
}

NvmlDevice::NvmlDevice(const std::string& pci_bus_id, const std::string& library)
    : library_(dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (library_ == nullptr) throw Error(dlerror());
  const auto init = Find<NvmlNoArguments>("nvmlInit_v2");
  const auto by_bus_id = Find<NvmlHandleByPciBusId>("nvmlDeviceGetHandleByPciBusId_v2");
  const auto error_string = Find<NvmlErrorString>("nvmlErrorString");
  shutdown_ = Find<NvmlNoArguments>("nvmlShutdown");
  clock_info_ = Find<NvmlClockInfo>("nvmlDeviceGetClockInfo");
  max_clock_info_ = Find<NvmlClockInfo>("nvmlDeviceGetMaxClockInfo");
  power_usage_ = Find<NvmlPower>("nvmlDeviceGetPowerUsage");
  power_limit_ = Find<NvmlPower>("nvmlDeviceGetEnforcedPowerLimit");
  field_values_ = Find<NvmlFieldValues>("nvmlDeviceGetFieldValues");
  temperature_ = Find<NvmlTemperature>("nvmlDeviceGetTemperature");
  clocks_event_reasons_ = Find<NvmlClocksEventReasons>("nvmlDeviceGetCurrentClocksEventReasons");
  if (clocks_event_reasons_ == nullptr) {
    clocks_event_reasons_ =
        Find<NvmlClocksEventReasons>("nvmlDeviceGetCurrentClocksThrottleReasons");
  }
  compute_processes_ = Find<NvmlComputeProcesses>("nvmlDeviceGetComputeRunningProcesses_v3");

  const auto refuse = [&](const std::string& what) {
    dlclose(library_);
    throw Error(fmt::format("{}: {}", library, what));
  };
  if (init == nullptr || shutdown_ == nullptr || by_bus_id == nullptr || error_string == nullptr) {
    refuse("lacks a function that NVML has had since 2012");
  }
  if (const NvmlReturn code = init(); code != 0) refuse(error_string(code));
  if (const NvmlReturn code = by_bus_id(pci_bus_id.c_str(), &handle_); code != 0) {
    shutdown_();
    refuse(fmt::format("GPU {}: {}", pci_bus_id, error_string(code)));
  }
}

NvmlDevice::~NvmlDevice() {
  shutdown_();
  dlclose(library_);
}

NvmlSample NvmlDevice::Sample() const {
  return {
      .sm_clock_mhz = Scaled(Ask<unsigned>(clock_info_, handle_, kNvmlClockSm), 1),
      .memory_clock_mhz = Scaled(Ask<unsigned>(clock_info_, handle_, kNvmlClockMemory), 1),
      .power_w = PowerW(),
      .temperature_c = Scaled(Ask<unsigned>(temperature_, handle_, kNvmlTemperatureGpu), 1),
      .clocks_event_reasons = Ask<unsigned long long>(clocks_event_reasons_, handle_),
  };
}

std::optional<double> NvmlDevice::PowerW() const {
  NvmlFieldValue instant = {.field_id = kNvmlFieldPowerInstant};
  if (field_values_ != nullptr && field_values_(handle_, 1, &instant) == 0 && instant.result == 0) {
    return instant.value * 1e-3;
  }
  return Scaled(Ask<unsigned>(power_usage_, handle_), 1e-3);
}

std::optional<double> NvmlDevice::max_sm_clock_mhz() const {
  return Scaled(Ask<unsigned>(max_clock_info_, handle_, kNvmlClockSm), 1);
}

std::optional<double> NvmlDevice::power_limit_w() const {
  return Scaled(Ask<unsigned>(power_limit_, handle_), 1e-3);
}

std::optional<int64_t> NvmlDevice::ProcessBytes() const {
  std::array<NvmlProcess, 64> processes = {};
  unsigned count = processes.size();
  if (compute_processes_ == nullptr) return std::nullopt;
  if (compute_processes_(handle_, &count, processes.data()) != 0) return std::nullopt;
  for (unsigned i = 0; i < count; ++i) {
    if (processes[i].pid != static_cast<unsigned>(getpid())) continue;
    if (processes[i].used_bytes == std::numeric_limits<unsigned long long>::max()) break;
    return static_cast<int64_t>(processes[i].used_bytes);
  }
  return std::nullopt;
}

}  // namespace sluice
