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

constexpr int64_t kRoom = int64_t{16} << 30;

JobPlan SmallPlan(int num_ranks, int64_t num_layers = 24) {
  JobConfig config = {.batch_size = 2, .scheme = "gpipe", .num_micro_batches = 2};
  config.model = FindModel("test");
  config.model.num_layers = num_layers;
  config.sizes.pipeline = num_ranks;
  return PlanJob(config);
}

struct Needs {
  int64_t host_bytes = 0, apart_bytes = 0, thread_bytes = 0;
};

// The message of the refusal of all ranks of a job, which share a host; "" if they fit.
std::string RefusalOf(const JobPlan& plan, const Needs& needs) {
  std::vector<int> ranks(static_cast<size_t>(plan.config.sizes.world_size()));
  std::iota(ranks.begin(), ranks.end(), 0);
  MemoryPlan memory = PlanMemory(plan, 1 << 20);
  memory.host_bytes = needs.host_bytes;
  memory.apart_bytes = needs.apart_bytes;
  try {
    CheckMemory(plan, memory, ranks,
                {.available_bytes = kRoom, .thread_bytes = needs.thread_bytes});
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(CheckMemory, AcceptsWhatFits) {
  EXPECT_EQ(RefusalOf(SmallPlan(1), {.host_bytes = 1 << 20, .apart_bytes = 1 << 20}), "");
}

JobPlan Gpt3Plan(int num_ranks, int64_t num_layers) {
  JobConfig config = {.batch_size = 32, .scheme = "gpipe", .num_micro_batches = 32};
  config.model = FindModel("gpt3-13b");
  config.model.num_layers = num_layers;
  config.sizes.pipeline = num_ranks;
  return PlanJob(config);
}

// The bytes that follow `name` in the message.
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

// The need is that of all purposes, not of the weights alone.
TEST(CheckMemory, NamesTheWholeNeedByPurpose) {
  const JobPlan plan = Gpt3Plan(40, 4000);
  const MemoryPlan memory = PlanMemory(plan, 1 << 20);
  int64_t needed_bytes = 0, most_bytes = 0;
  int worst_rank = 0;
  for (int rank = 0; rank < 40; ++rank) {
    const int64_t rank_bytes = memory.OfRank(rank).total();
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

TEST(CheckMemory, SaysHowManyLayersWouldFit) {
  const std::string message = RefusalOf(SmallPlan(1, 1'000'000), {});
  const std::string fits = "would fit: num_layers ";
  ASSERT_THAT(message, testing::HasSubstr(fits));
  const int64_t num_layers = std::stoll(message.substr(message.find(fits) + fits.size()));
  EXPECT_EQ(RefusalOf(SmallPlan(1, num_layers), {}), "");
  EXPECT_NE(RefusalOf(SmallPlan(1, num_layers + 1), {}), "");
}

TEST(CheckMemory, SaysHowManyHostsWouldDo) {
  // Each rank takes two thirds of the memory.
  EXPECT_THAT(RefusalOf(SmallPlan(2), {.host_bytes = kRoom / 3 * 2}),
              testing::HasSubstr("would fit: 1 rank like it, so 2 hosts like this one"));
}

TEST(CheckMemory, CountsThreads) {
  EXPECT_THAT(RefusalOf(SmallPlan(1), {.thread_bytes = int64_t{1} << 55}),
              testing::HasSubstr("stacks of threads 32.0 PiB"));
}

TEST(CheckMemory, DoesNotAddWhatIsFreedBeforeTheExecutorExists) {
  constexpr int64_t kMuch = int64_t{1} << 55;
  EXPECT_THAT(RefusalOf(SmallPlan(1), {.apart_bytes = kMuch}),
              testing::HasSubstr("of model test needs 32.0 PiB, have"));
  EXPECT_THAT(RefusalOf(SmallPlan(1), {.host_bytes = kMuch, .apart_bytes = kMuch}),
              testing::HasSubstr("of model test needs 64.0 PiB, have"));
}

// A GPU's results are in the host's memory.
TEST(CheckMemory, NamesWhatTheDriverHasTakenOfAGpu) {
  const JobPlan plan = SmallPlan(1);
  MemoryPlan memory = PlanMemory(plan, 1 << 20);
  memory.host_bytes = int64_t{1} << 55;
  const MemoryRoom room = {
      .kind = DeviceKind::kCuda, .available_bytes = 1 << 20, .runtime_bytes = 1 << 29};
  try {
    CheckMemory(plan, memory, {0}, room);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("out of memory on cuda: 1 rank of model test"));
    EXPECT_THAT(error.what(),
                testing::HasSubstr(" beside the 512.0 MiB of the driver's context and kernels"));
    EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("PiB")));
  }
}

}  // namespace
}  // namespace sluice
