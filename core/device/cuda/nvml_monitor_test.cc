#include "core/device/cuda/nvml_monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "core/base/error.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Optional;
using testing::Pair;

constexpr const char* kBusId = "0000:00:07.0";

std::string FakeLibrary() {
  return std::string(std::getenv("TEST_SRCDIR")) + "/" + std::getenv("TEST_WORKSPACE") +
         "/core/device/cuda/libfake_nvml.so";
}

TEST(NvmlMonitor, SummarizesItsSamples) {
  NvmlMonitor monitor(kBusId, FakeLibrary());
  EXPECT_EQ(monitor.source(), "NVML");
  monitor.Start();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const DeviceConditions conditions = monitor.Stop();
  EXPECT_GE(conditions.num_samples, 2);
  EXPECT_THAT(conditions.min_sm_clock_mhz, Optional(testing::Lt(1980)));
  EXPECT_THAT(conditions.median_sm_clock_mhz, Optional(testing::Gt(*conditions.min_sm_clock_mhz)));
  EXPECT_THAT(conditions.median_memory_clock_mhz, Optional(2619));
  EXPECT_THAT(conditions.max_power_w, Optional(655));
  EXPECT_FALSE(conditions.power_limit_w.has_value());
  EXPECT_FALSE(conditions.max_temperature_c.has_value());
  // The first sample alone has the highest clock, and nothing holds it down.
  const double share = 1 - 1.0 / static_cast<double>(conditions.num_samples);
  EXPECT_THAT(conditions.max_sm_clock_mhz, Optional(1980));
  EXPECT_THAT(conditions.clocks_event_shares,
              ElementsAre(Pair("sw_power_cap", testing::DoubleNear(share, 1e-9))));
  EXPECT_THAT(Describe(conditions), HasSubstr("clocks held down by sw_power_cap in "));
}

TEST(NvmlMonitor, CanBeStartedAgain) {
  NvmlMonitor monitor(kBusId, FakeLibrary());
  for (int i = 0; i < 3; ++i) {
    monitor.Start();
    EXPECT_GE(monitor.Stop().num_samples, 1);
  }
}

TEST(NvmlMonitor, SaysWhatIsMissing) {
  NvmlMonitor monitor(kBusId, "libsluice_no_such_library.so");
  EXPECT_THAT(monitor.source(), HasSubstr("none: libsluice_no_such_library.so: cannot open"));
  monitor.Start();
  const DeviceConditions conditions = monitor.Stop();
  EXPECT_EQ(conditions.num_samples, 0);
  EXPECT_EQ(Describe(conditions), "clocks and power unknown");
}

TEST(NvmlDevice, NamesAGpuThatIsNotThere) {
  try {
    NvmlDevice device("0000:00:08.0", FakeLibrary());
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("GPU 0000:00:08.0: Not Found"));
  }
}

TEST(NvmlDevice, TakesTheMeanPowerWhereThatOfNowIsNotTold) {
  const NvmlDevice gpu(kBusId, FakeLibrary());
  EXPECT_THAT(gpu.Sample().power_w, Optional(640.5));
  EXPECT_THAT(gpu.Sample().power_w, Optional(640.5));
  EXPECT_THAT(gpu.Sample().power_w, Optional(655));
}

TEST(NvmlDevice, FindsTheMemoryOfThisProcess) {
  EXPECT_THAT(NvmlDevice(kBusId, FakeLibrary()).ProcessBytes(), Optional(777));
}

TEST(NamesOfClocksEventReasons, FollowTheBits) {
  EXPECT_THAT(NamesOfClocksEventReasons(0), ElementsAre());
  EXPECT_THAT(NamesOfClocksEventReasons(0x45),
              ElementsAre("gpu_idle", "sw_power_cap", "hw_thermal_slowdown"));
  EXPECT_THAT(NamesOfClocksEventReasons(uint64_t{1} << 40), ElementsAre("bit_40"));
}

}  // namespace
}  // namespace sluice
