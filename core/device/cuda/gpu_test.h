// The base of tests that need a GPU: where there is none they are skipped, with the reason.
#pragma once

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/device/cuda/cuda_device.h"

namespace sluice {

class GpuTest : public testing::Test {
 protected:
  void SetUp() override {
    try {
      if (NumCudaDevices() == 0) GTEST_SKIP() << "this machine shows no NVIDIA GPU";
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }
};

}  // namespace sluice
