#include "core/device/cuda/nvml_monitor.h"

#include <algorithm>
#include <chrono>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/median.h"

namespace sluice {
namespace {

constexpr auto kPeriod = std::chrono::milliseconds(10);

// The values of one quantity over the samples, sorted; those that are absent are left out.
std::vector<double> SortedValues(const std::vector<NvmlSample>& samples,
                                 std::optional<double> NvmlSample::*quantity) {
  std::vector<double> values;
  for (const NvmlSample& sample : samples) {
    if (sample.*quantity) values.push_back(*(sample.*quantity));
  }
  std::sort(values.begin(), values.end());
  return values;
}

std::optional<double> Least(const std::vector<double>& sorted) {
  if (sorted.empty()) return std::nullopt;
  return sorted.front();
}

std::optional<double> Most(const std::vector<double>& sorted) {
  if (sorted.empty()) return std::nullopt;
  return sorted.back();
}

std::optional<double> MedianOf(const std::vector<double>& values) {
  if (values.empty()) return std::nullopt;
  return Median(values);
}

DeviceConditions Summarize(const std::vector<NvmlSample>& samples, const NvmlDevice& device) {
  const std::vector<double> sm_clocks = SortedValues(samples, &NvmlSample::sm_clock_mhz);
  const std::vector<double> powers = SortedValues(samples, &NvmlSample::power_w);
  DeviceConditions conditions = {
      .num_samples = static_cast<int64_t>(samples.size()),
      .median_sm_clock_mhz = MedianOf(sm_clocks),
      .min_sm_clock_mhz = Least(sm_clocks),
      .max_sm_clock_mhz = device.max_sm_clock_mhz(),
      .median_memory_clock_mhz = MedianOf(SortedValues(samples, &NvmlSample::memory_clock_mhz)),
      .median_power_w = MedianOf(powers),
      .max_power_w = Most(powers),
      .power_limit_w = device.power_limit_w(),
      .max_temperature_c = Most(SortedValues(samples, &NvmlSample::temperature_c)),
  };
  for (const NvmlSample& sample : samples) {
    // The driver names a power cap at the highest clock too.
    if (conditions.max_sm_clock_mhz && sample.sm_clock_mhz >= conditions.max_sm_clock_mhz) continue;
    for (const std::string& name :
         NamesOfClocksEventReasons(sample.clocks_event_reasons.value_or(0))) {
      conditions.clocks_event_shares[name] += 1.0 / static_cast<double>(samples.size());
    }
  }
  return conditions;
}

}  // namespace

NvmlMonitor::NvmlMonitor(const std::string& pci_bus_id, const std::string& library) {
  try {
    device_ = std::make_unique<NvmlDevice>(pci_bus_id, library);
  } catch (const Error& error) {
    error_ = error.what();
  }
}

NvmlMonitor::~NvmlMonitor() {
  if (thread_.joinable()) Stop();
}

std::string NvmlMonitor::source() const { return device_ != nullptr ? "NVML" : "none: " + error_; }

void NvmlMonitor::Start() {
  SLUICE_CHECK(!thread_.joinable());
  if (device_ == nullptr) return;
  samples_.clear();
  is_stopping_ = false;
  thread_ = std::thread([this] { Run(); });
}

void NvmlMonitor::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  do {
    lock.unlock();
    samples_.push_back(device_->Sample());
    lock.lock();
  } while (!wake_.wait_for(lock, kPeriod, [this] { return is_stopping_; }));
}

DeviceConditions NvmlMonitor::Stop() {
  if (device_ == nullptr) return {};
  SLUICE_CHECK(thread_.joinable());
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  return Summarize(samples_, *device_);
}

}  // namespace sluice
