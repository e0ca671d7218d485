#include "bench/comparison/comparison_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/model/model_config.h"
#include "programs/job_flags.h"
#include "programs/scheme_choices.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The jobs of all schemes on `num_ranks`.
std::vector<Job> JobsOn(int num_ranks, int64_t batch_size, Pass pass = Pass::kStep) {
  std::vector<Job> jobs;
  for (const SchemeChoice& scheme : SchemeChoices()) {
    Job job = {.scheme = std::string(scheme.name)};
    job.config.model = FindModel("test");
    job.config.batch_size = batch_size;
    job.config.scheme = scheme.scheme->name;
    job.config.pass = pass;
    job.config.sizes =
        ResolveSizes(scheme, {.world_size = scheme.own_axis == nullptr ? 1 : num_ranks}, num_ranks);
    jobs.push_back(job);
  }
  return jobs;
}

TEST(CompareSchemes, EverySchemeHasARowOnTheSameWork) {
  for (const int num_ranks : {2, 4}) {
    const Comparison comparison = CompareSchemes(JobsOn(num_ranks, 2 * num_ranks), {}, {});
    EXPECT_THAT(comparison.left_out, IsEmpty());
    std::vector<std::string> schemes;
    for (const ComparisonRow& row : comparison.rows) {
      schemes.push_back(row.benchmark.job.scheme);
      EXPECT_EQ(row.benchmark.plan.config.batch_size, 2 * num_ranks);
      EXPECT_THAT(row.same_schedule, IsEmpty());
    }
    EXPECT_EQ(schemes, SchemeNames());
  }
}

TEST(CompareSchemes, ASchemeThatNeedsMoreMicroBatchesIsListedWithItsReason) {
  const Comparison comparison = CompareSchemes(JobsOn(2, 2), {}, {});
  const auto left_out = std::ranges::find(comparison.left_out, "zero_bubble_v", &LeftOut::scheme);
  ASSERT_NE(left_out, comparison.left_out.end());
  EXPECT_THAT(left_out->reason, HasSubstr("num_micro_batches 2 is not allowed"));
  for (const ComparisonRow& row : comparison.rows) {
    EXPECT_NE(row.benchmark.job.scheme, "zero_bubble_v");
  }
}

TEST(CompareSchemes, ForwardPassesOfOneScheduleAreOneRow) {
  const Comparison comparison = CompareSchemes(JobsOn(2, 4, Pass::kForward), {}, {});
  const auto gpipe = std::ranges::find(
      comparison.rows, "gpipe", [](const ComparisonRow& row) { return row.benchmark.job.scheme; });
  ASSERT_NE(gpipe, comparison.rows.end());
  EXPECT_THAT(gpipe->same_schedule, ElementsAre("one_f_one_b", "zero_bubble_h1", "zero_bubble_h2"));
}

TEST(CompareSchemes, GivenNumbersHoldForTheSchemesThatUseThem) {
  const Comparison comparison =
      CompareSchemes(JobsOn(2, 4), {.num_micro_batches = 2, .num_slices = 8, .num_chunks = 3}, {});
  for (const ComparisonRow& row : comparison.rows) {
    const JobConfig& config = row.benchmark.plan.config;
    if (row.benchmark.job.scheme == "gpipe") {
      EXPECT_EQ(config.num_micro_batches, 2);
      EXPECT_EQ(config.slices.size(), 1u);
      EXPECT_EQ(config.num_chunks, 1);
    }
    if (row.benchmark.job.scheme == "seq_interleaved") {
      EXPECT_EQ(config.num_micro_batches, 2);
      EXPECT_EQ(config.slices.size(), 8u);
      EXPECT_EQ(config.num_chunks, 3);
    }
  }
}

}  // namespace
}  // namespace sluice
