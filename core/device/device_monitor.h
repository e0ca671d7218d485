// What a device was doing while work ran on it: at which clocks, with how much power, how warm, and
// what held its clocks down.  Beside every time of a GPU, since the same work takes 10 % longer at
// a lower clock.
//
//   std::unique_ptr<DeviceMonitor> monitor = device.MakeMonitor();
//   monitor->Start();
//   ...                                        // the work that is timed
//   DeviceConditions conditions = monitor->Stop();
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace sluice {

// Over the samples taken between Start and Stop.  A quantity that the device does not tell is
// absent.
struct DeviceConditions {
  int64_t num_samples = 0;
  std::optional<double> median_sm_clock_mhz;
  std::optional<double> min_sm_clock_mhz;
  std::optional<double> max_sm_clock_mhz;  // that the GPU has, not of the samples
  std::optional<double> median_memory_clock_mhz;
  std::optional<double> median_power_w;
  std::optional<double> max_power_w;
  std::optional<double> power_limit_w;
  std::optional<double> max_temperature_c;

  // Reason to run below the highest clock ("sw_power_cap", "hw_thermal_slowdown", ...), and the
  // share of samples that had it and a clock below the highest; those that none had are left out.
  std::map<std::string, double> clocks_event_shares;
};

// One line for people: "SM 1755 MHz (least 1605, highest 1980), memory 2619 MHz, 640 W of 700 W, 61
// C, clocks held down by sw_power_cap in 83 % of 41 samples".
std::string Describe(const DeviceConditions& conditions);

class DeviceMonitor {
 public:
  virtual ~DeviceMonitor() = default;

  // Where the numbers come from; where there are none, why: "none: libnvidia-ml.so.1: cannot open".
  virtual std::string source() const = 0;

  // Samples from now on until Stop, on a thread of its own: every 10 ms, the first at once.
  virtual void Start() = 0;
  virtual DeviceConditions Stop() = 0;
};

}  // namespace sluice
