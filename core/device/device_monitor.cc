#include "core/device/device_monitor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

namespace sluice {

std::string Describe(const DeviceConditions& conditions) {
  if (conditions.num_samples == 0) return "clocks and power unknown";
  std::vector<std::string> parts;
  const auto add = [&](const char* format, const std::optional<double>& value) {
    if (value) parts.push_back(fmt::format(fmt::runtime(format), *value));
  };
  add("SM {:.0f} MHz", conditions.median_sm_clock_mhz);
  if (conditions.min_sm_clock_mhz) {
    parts.back() += fmt::format(" (least {:.0f}", *conditions.min_sm_clock_mhz);
    if (conditions.max_sm_clock_mhz) {
      parts.back() += fmt::format(", highest {:.0f}", *conditions.max_sm_clock_mhz);
    }
    parts.back() += ")";
  }
  add("memory {:.0f} MHz", conditions.median_memory_clock_mhz);
  add("{:.0f} W", conditions.median_power_w);
  if (conditions.median_power_w && conditions.power_limit_w) {
    parts.back() += fmt::format(" of {:.0f} W", *conditions.power_limit_w);
  }
  add("{:.0f} C", conditions.max_temperature_c);
  std::vector<std::string> reasons;
  for (const auto& [reason, share] : conditions.clocks_event_shares) {
    reasons.push_back(fmt::format("{} in {:.0f} %", reason, 100 * share));
  }
  parts.push_back(
      fmt::format("clocks held down by {} of {} samples",
                  reasons.empty() ? "nothing in any" : fmt::to_string(fmt::join(reasons, ", ")),
                  conditions.num_samples));
  return fmt::to_string(fmt::join(parts, ", "));
}

}  // namespace sluice
