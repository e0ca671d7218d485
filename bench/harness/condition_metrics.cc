#include "bench/harness/condition_metrics.h"

#include <fmt/format.h>

#include <array>
#include <optional>

namespace sluice {
namespace {

using Value = std::optional<double>;
using D = DeviceConditions;

constexpr auto kConditionMetrics = std::to_array<Metric<D>>({
    {"num_condition_samples", "1",
     [](const D& d) { return Value(static_cast<double>(d.num_samples)); },
     "samples that a thread takes every 10 ms, from the first pass to the end of the last"},
    {"median_sm_clock_mhz", "MHz", [](const D& d) { return d.median_sm_clock_mhz; },
     "median over the samples", "SM"},
    {"min_sm_clock_mhz", "MHz", [](const D& d) { return d.min_sm_clock_mhz; },
     "minimum over the samples", "SM"},
    {"max_sm_clock_mhz", "MHz", [](const D& d) { return d.max_sm_clock_mhz; },
     "the highest clock that the GPU supports", "SM"},
    {"median_memory_clock_mhz", "MHz", [](const D& d) { return d.median_memory_clock_mhz; },
     "median over the samples", "memory"},
    {"median_power_w", "W", [](const D& d) { return d.median_power_w; }, "median over the samples",
     "W"},
    {"max_power_w", "W", [](const D& d) { return d.max_power_w; }, "maximum over the samples"},
    {"power_limit_w", "W", [](const D& d) { return d.power_limit_w; }, "the GPU's power limit",
     "W"},
    {"max_temperature_c", "degrees C", [](const D& d) { return d.max_temperature_c; },
     "maximum over the samples", "C"},
});

}  // namespace

std::span<const Metric<DeviceConditions>> ConditionMetrics() { return kConditionMetrics; }

void AddConditions(std::string_view prefix, const DeviceConditions& conditions,
                   std::map<std::string, double>* counters) {
  AddCounters(ConditionMetrics(), conditions, counters, prefix);
  for (const auto& [reason, share] : conditions.clocks_event_shares) {
    (*counters)[fmt::format("{}clocks_event_share_{}", prefix, reason)] = share;
  }
}

}  // namespace sluice
