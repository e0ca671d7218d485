// A library with NVML's names and made-up answers, for tests where there is no driver, those of
// tools/peers among them.  Its one GPU
// has the bus id "0000:00:07.0"; the SM clock falls from 1980 MHz by 15 MHz a question, down to
// 1500.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>

#include "third_party/nvml/nvml_abi.h"

namespace {

constexpr NvmlReturn kNotFound = 6;
constexpr NvmlReturn kNotSupported = 3;

std::atomic<unsigned> num_clock_questions = 0;

}  // namespace

extern "C" {

NvmlReturn nvmlInit_v2() { return 0; }
NvmlReturn nvmlShutdown() { return 0; }
const char* nvmlErrorString(NvmlReturn code) { return code == kNotFound ? "Not Found" : "Unknown"; }

NvmlReturn nvmlDeviceGetHandleByPciBusId_v2(const char* pci_bus_id, NvmlHandle*) {
  return std::string(pci_bus_id) == "0000:00:07.0" ? 0 : kNotFound;
}

NvmlReturn nvmlDeviceGetHandleByIndex_v2(unsigned index, NvmlHandle*) {
  return index == 0 ? 0 : kNotFound;
}

NvmlReturn nvmlDeviceGetName(NvmlHandle, char* name, unsigned size) {
  std::strncpy(name, "Fake GPU", size);
  return 0;
}

NvmlReturn nvmlSystemGetDriverVersion(char* version, unsigned size) {
  std::strncpy(version, "1.2.3", size);
  return 0;
}

NvmlReturn nvmlDeviceGetClockInfo(NvmlHandle, unsigned clock, unsigned* mhz) {
  *mhz = 2619;
  if (clock == kNvmlClockSm) *mhz = 1980 - std::min(480u, 15 * num_clock_questions++);
  return 0;
}

NvmlReturn nvmlDeviceGetMaxClockInfo(NvmlHandle, unsigned, unsigned* mhz) {
  *mhz = 1980;
  return 0;
}

NvmlReturn nvmlDeviceGetPowerUsage(NvmlHandle, unsigned* mw) {
  *mw = 640'500;
  return 0;
}

// Knows the power of now from the third question on.
NvmlReturn nvmlDeviceGetFieldValues(NvmlHandle, int count, NvmlFieldValue* values) {
  static std::atomic<int> num_questions = 0;
  for (int i = 0; i < count; ++i) {
    values[i].result = num_questions++ < 2 ? kNotSupported : 0;
    values[i].value = 655'000;
  }
  return 0;
}

NvmlReturn nvmlDeviceGetTemperature(NvmlHandle, unsigned, unsigned*) { return kNotSupported; }

NvmlReturn nvmlDeviceGetCurrentClocksThrottleReasons(NvmlHandle, unsigned long long* bits) {
  *bits = 0x4;
  return 0;
}

NvmlReturn nvmlDeviceGetComputeRunningProcesses_v3(NvmlHandle, unsigned* count,
                                                   NvmlProcess* processes) {
  *count = 2;
  processes[0] = {.pid = 1, .used_bytes = 5};
  processes[1] = {.pid = static_cast<unsigned>(getpid()), .used_bytes = 777};
  return 0;
}

}  // extern "C"
