#include "parallel/exec/check_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/model/model_config.h"

namespace sluice {
namespace {

// Of a small model on the cpu, whose memory is less than 2^55 bytes.
void Check(OtherBytes other) {
  JobConfig config;
  config.model = FindModel("test");
  config.scheme = "single";
  const JobPlan plan = PlanJob(config);
  CheckMemory(plan, {0}, MakeBackend({.precision = config.precision}), other);
}

std::string RefusalOf(OtherBytes other) {
  try {
    Check(other);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(CheckMemory, TakesWhatFits) { Check({.beside = 1 << 20, .apart = 1 << 20}); }

TEST(CheckMemory, WhatIsFreedBeforeTheExecutorIsNotAddedToIt) {
  constexpr int64_t kMuch = int64_t{1} << 55;
  EXPECT_THAT(RefusalOf({.apart = kMuch}), testing::HasSubstr("of model test needs 32.0 PiB, "));
  EXPECT_THAT(RefusalOf({.beside = kMuch, .apart = kMuch}),
              testing::HasSubstr("of model test needs 64.0 PiB, "));
}

}  // namespace
}  // namespace sluice
