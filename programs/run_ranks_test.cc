#include "programs/run_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <set>
#include <string>

#include "core/base/error.h"
#include "core/model/model_config.h"

namespace sluice {
namespace {

Job Pipeline(int num_ranks, int64_t num_layers) {
  Job job = {.scheme = "gpipe"};
  job.config.scheme = job.scheme;
  job.config.model = FindModel("test");
  job.config.model.num_layers = num_layers;
  job.config.sizes.pipeline = num_ranks;
  return job;
}

TEST(RunRanks, RunsEachRankOnce) {
  const Job job = Pipeline(3, 3);
  std::mutex mutex;
  std::multiset<int> ranks;
  EXPECT_EQ(RunRanks(job, PlanJob(job.config), {},
                     [&](const RankEnvironment& environment) {
                       const std::lock_guard lock(mutex);
                       ranks.insert(environment.world.rank());
                     }),
            0);
  EXPECT_THAT(ranks, testing::ElementsAre(0, 1, 2));
}

TEST(PlanMemory, CountsTheThreadsOfTheKernels) {
  Job job = Pipeline(2, 2);
  const JobPlan plan = PlanJob(job.config);
  const int64_t one_thread = PlanMemory(job, plan, {}).Sum().kernels;
  job.threads = 3;
  EXPECT_EQ(PlanMemory(job, plan, {}).Sum().kernels, 3 * one_thread);
}

// What `needs` adds to a small job decides whether it fits.
std::string RefusalOf(const RankNeeds& needs) {
  const Job job = Pipeline(2, 2);
  const JobPlan plan = PlanJob(job.config);
  RankStarter ranks({}, nullptr);
  try {
    CheckRanks(ranks, job, plan, PlanMemory(job, plan, needs), {});
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(CheckRanks, RefusesRanksThatDoNotFitTheirHostTogether) {
  EXPECT_EQ(RefusalOf({}), "");
  EXPECT_THAT(RefusalOf({.host_bytes = int64_t{1} << 55}),
              testing::StartsWith("out of memory on cpu: 2 ranks of model test need 64.0 PiB"));
  EXPECT_THAT(RefusalOf({.device_bytes = int64_t{1} << 55}),
              testing::HasSubstr("the matrix-product ceilings"));
}

}  // namespace
}  // namespace sluice
