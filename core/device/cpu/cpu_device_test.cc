#include "core/device/cpu/cpu_device.h"

#include <gtest/gtest.h>

#include <utility>

#include "core/base/error.h"

namespace sluice {
namespace {

TEST(CpuDevice, CountsWhatItHandsOut) {
  CpuDevice device({.num_threads = 1});
  {
    Buffer a = device.Allocate(1000, "a");
    Buffer b = device.Allocate(3000, "b");
    EXPECT_EQ(device.allocated_bytes(), 4000);
    Buffer moved = std::move(a);
    EXPECT_EQ(moved.size_bytes(), 1000);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(b.data()) % 256, 0u);
  }
  EXPECT_EQ(device.allocated_bytes(), 0);
  EXPECT_EQ(device.peak_allocated_bytes(), 4000);
  EXPECT_EQ(device.num_allocations(), 2);
}

TEST(CpuDevice, NamesWhatDoesNotFit) {
  CpuDevice device({.num_threads = 1});
  try {
    device.Allocate(int64_t{1} << 50, "activations");
    FAIL();
  } catch (const Error& error) {
    EXPECT_TRUE(
        std::string(error.what()).starts_with("out of memory on cpu: activations needs 1.0 PiB, "))
        << error.what();
  }
  EXPECT_EQ(device.allocated_bytes(), 0);
}

TEST(CpuDevice, HasAtLeastOneCoreAndAName) {
  EXPECT_GE(NumCores(), 1);
  EXPECT_FALSE(CpuDevice({.num_threads = 1}).description().empty());
}

}  // namespace
}  // namespace sluice
