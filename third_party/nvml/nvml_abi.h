// The part of NVIDIA's management library (NVML) that is used: its binary interface, as NVIDIA's
// "NVML API Reference Guide" gives it.
//
// The library, libnvidia-ml.so.1, comes with the driver and is opened when a program runs: programs
// start without it, and are built where the toolkit lacks its header.  Each function below is
// looked up by its name in the library; all return 0 for success.
#pragma once

extern "C" {

using NvmlReturn = int;
using NvmlHandle = struct NvmlOpaqueDevice*;

inline constexpr unsigned kNvmlClockSm = 1;
inline constexpr unsigned kNvmlClockMemory = 2;
inline constexpr unsigned kNvmlTemperatureGpu = 0;

// usedGpuMemory is all ones where the driver cannot tell.
struct NvmlProcess {
  unsigned pid;
  unsigned long long used_bytes;
  unsigned gpu_instance_id;
  unsigned compute_instance_id;
};

// The power of now: nvmlDeviceGetPowerUsage is a mean over a second on some GPUs.
inline constexpr unsigned kNvmlFieldPowerInstant = 186;

// One answer of nvmlDeviceGetFieldValues; the value is a union in the original, of which power uses
// the first four bytes.
struct NvmlFieldValue {
  unsigned field_id;
  unsigned scope_id;
  long long timestamp_us;
  long long latency_us;
  unsigned value_type;
  NvmlReturn result;
  unsigned value;
  unsigned value_high;
};

// nvmlInit_v2, nvmlShutdown
using NvmlNoArguments = NvmlReturn (*)();
// nvmlErrorString
using NvmlErrorString = const char* (*)(NvmlReturn);
// nvmlDeviceGetHandleByPciBusId_v2
using NvmlHandleByPciBusId = NvmlReturn (*)(const char* pci_bus_id, NvmlHandle*);
// nvmlDeviceGetClockInfo, nvmlDeviceGetMaxClockInfo: MHz
using NvmlClockInfo = NvmlReturn (*)(NvmlHandle, unsigned clock, unsigned* mhz);
// nvmlDeviceGetPowerUsage, nvmlDeviceGetEnforcedPowerLimit: mW
using NvmlPower = NvmlReturn (*)(NvmlHandle, unsigned* mw);
// nvmlDeviceGetFieldValues: sets what follows field_id and scope_id in each
using NvmlFieldValues = NvmlReturn (*)(NvmlHandle, int count, NvmlFieldValue*);
// nvmlDeviceGetTemperature: degrees Celsius
using NvmlTemperature = NvmlReturn (*)(NvmlHandle, unsigned sensor, unsigned* celsius);
// nvmlDeviceGetCurrentClocksEventReasons, before driver 535
// nvmlDeviceGetCurrentClocksThrottleReasons
using NvmlClocksEventReasons = NvmlReturn (*)(NvmlHandle, unsigned long long* bits);
// nvmlDeviceGetComputeRunningProcesses_v3: `count` is the room in `processes`, then their number
using NvmlComputeProcesses = NvmlReturn (*)(NvmlHandle, unsigned* count, NvmlProcess* processes);

}  // extern "C"
