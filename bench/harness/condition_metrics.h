// The metrics of a GPU while work ran on it: clocks, power, temperature and throttle reasons.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "bench/harness/metric.h"
#include "core/device/device_monitor.h"

namespace sluice {

std::span<const Metric<DeviceConditions>> ConditionMetrics();

// Adds these metrics, and the share of samples with each throttle reason, each name behind
// `prefix`.
void AddConditions(std::string_view prefix, const DeviceConditions& conditions,
                   std::map<std::string, double>* counters);

}  // namespace sluice
