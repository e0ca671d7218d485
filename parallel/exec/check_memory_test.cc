#include "parallel/exec/check_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

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

JobPlan Gpt3Plan(int num_ranks, int64_t num_layers) {
  JobConfig config = {.batch_size = 32, .scheme = "gpipe", .num_micro_batches = 32};
  config.model = FindModel("gpt3-13b");
  config.model.num_layers = num_layers;
  config.sizes.pipeline = num_ranks;
  return PlanJob(config);
}

std::string RefusalOf(const JobPlan& plan, const OtherBytes& other) {
  std::vector<int> ranks(static_cast<size_t>(plan.config.sizes.world_size()));
  std::iota(ranks.begin(), ranks.end(), 0);
  try {
    CheckMemory(plan, ranks, MakeBackend({.precision = plan.config.precision}), other);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// What the message says behind `name`, in bytes.
double Said(const std::string& message, const std::string& name) {
  const size_t at = message.find(name);
  if (at == std::string::npos) return -1;
  std::istringstream text(message.substr(at + name.size()));
  double number = 0;
  std::string unit;
  text >> number >> unit;
  constexpr std::string_view kUnits = "BKMGTP";
  return number * std::pow(1024, static_cast<double>(kUnits.find(unit[0])));
}

// Not that of the weights alone: all of it, which the parts sum to.
TEST(CheckMemory, NamesTheWholeNeedByPurpose) {
  const JobPlan plan = Gpt3Plan(40, 4000);
  const Backend backend = MakeBackend({.precision = plan.config.precision});
  int64_t needed_bytes = 0, most_bytes = 0;
  int worst_rank = 0;
  for (int rank = 0; rank < 40; ++rank) {
    const int pipeline = CoordinatesOf(rank, plan.config.sizes).pipeline;
    const int64_t rank_bytes = NeedOf(plan, pipeline, *backend.kernels).total();
    needed_bytes += rank_bytes;
    if (rank_bytes > most_bytes) worst_rank = rank;
    most_bytes = std::max(most_bytes, rank_bytes);
  }
  const std::string message = RefusalOf(plan, {});
  const auto near = [](double bytes) { return testing::DoubleNear(bytes, 0.02 * bytes); };
  EXPECT_THAT(Said(message, "40 ranks of model gpt3-13b need "),
              near(static_cast<double>(needed_bytes)));
  EXPECT_THAT(Said(message, "weights "),
              near(static_cast<double>(NumParameters(plan.config.model) * 4)));
  double sum = 0;
  for (const char* part : {"; weights ", "weight gradients ", ", activations ",
                           "activation gradients ", "workspaces "}) {
    EXPECT_GT(Said(message, part), 0) << part << " in " << message;
    sum += Said(message, part);
  }
  EXPECT_THAT(sum, near(static_cast<double>(needed_bytes)));
  EXPECT_THAT(Said(message, "; rank " + std::to_string(worst_rank) + " needs the most, "),
              near(static_cast<double>(most_bytes)));
}

// Other programs may take or give back memory meanwhile.
TEST(CheckMemory, SaysHowManyLayersWouldFit) {
  const auto refusal_of = [](int64_t num_layers) {
    JobConfig config;
    config.model = FindModel("test");
    config.model.num_layers = num_layers;
    return RefusalOf(PlanJob(config), OtherBytes{});
  };
  const std::string message = refusal_of(10'000'000);
  const std::string fits = "would fit: num_layers ";
  ASSERT_THAT(message, testing::HasSubstr(fits));
  const int64_t num_layers = std::stoll(message.substr(message.find(fits) + fits.size()));
  EXPECT_EQ(refusal_of(num_layers / 2), "");
  EXPECT_NE(refusal_of(num_layers * 2), "");
}

TEST(CheckMemory, SaysHowManyHostsWouldDo) {
  const Backend backend = MakeBackend({});
  JobConfig config = {.batch_size = 2, .scheme = "gpipe", .num_micro_batches = 2};
  config.model = FindModel("test");
  config.sizes.pipeline = 2;
  // Each rank takes two thirds of the memory.
  const OtherBytes other = {.beside = backend.device->available_bytes() / 3 * 2};
  EXPECT_THAT(RefusalOf(PlanJob(config), other),
              testing::HasSubstr("would fit: 1 rank like it, so 2 hosts like this one"));
}

TEST(CheckMemory, CountsThreads) {
  EXPECT_THAT(RefusalOf({.threads = int64_t{1} << 55}),
              testing::HasSubstr("stacks of threads 32.0 PiB"));
}

TEST(CheckMemory, WhatIsFreedBeforeTheExecutorIsNotAddedToIt) {
  constexpr int64_t kMuch = int64_t{1} << 55;
  EXPECT_THAT(RefusalOf({.apart = kMuch}),
              testing::HasSubstr("of model test needs 32.0 PiB, have"));
  EXPECT_THAT(RefusalOf({.beside = kMuch, .apart = kMuch}),
              testing::HasSubstr("of model test needs 64.0 PiB, have"));
}

}  // namespace
}  // namespace sluice
