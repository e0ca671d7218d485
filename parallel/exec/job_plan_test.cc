#include "parallel/exec/job_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "core/base/error.h"
#include "parallel/schedule/find_error.h"
#include "parallel/schedule/schedule_file.h"

namespace sluice {
namespace {

JobConfig Config() {
  JobConfig config = {.batch_size = 4, .scheme = "seqpipe"};
  config.model = {.name = "tiny", .num_layers = 4, .hidden_size = 8, .seq_len = 6, .num_heads = 2};
  return config;
}

std::string ErrorOf(const JobConfig& config) {
  try {
    PlanJob(config);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

template <typename Change>
std::string ErrorAfter(const Change& change) {
  JobConfig config = Config();
  change(config);
  return ErrorOf(config);
}

TEST(PlanJob, TakesSlicesThatSumToTheSequence) {
  EXPECT_EQ(ErrorOf(Config()), "no error");
  EXPECT_EQ(ErrorAfter([](JobConfig& config) {
              config.slices = {{0, 1}, {1, 3}, {4, 2}};
            }),
            "no error");
}

TEST(PlanJob, RefusesSlicesThatAreNotTheSequence) {
  const auto error_of = [](std::vector<Slice> slices) {
    return ErrorAfter([&](JobConfig& config) { config.slices = slices; });
  };
  EXPECT_EQ(error_of({{0, 2}, {2, 3}}), "slices sum to 5, but seq_len is 6");
  EXPECT_EQ(error_of({{0, 3}, {3, 4}}),
            "slice 1 of 4 positions from 3 is not allowed: slices have at least one position, the "
            "next begins at 3, and seq_len is 6");
  for (const std::vector<Slice>& slices : {std::vector<Slice>{{0, 3}, {2, 3}},
                                           {{0, 3}, {4, 2}},
                                           {{1, 6}},
                                           {{0, 0}, {0, 6}},
                                           {{0, 7}, {7, -1}},
                                           {{0, std::numeric_limits<int64_t>::max()}}}) {
    EXPECT_THAT(error_of(slices), testing::HasSubstr("is not allowed: slices have at least one"));
  }
}

TEST(PlanJob, RefusesCountsUnderOne) {
  const std::pair<std::string, void (*)(JobConfig&, int)> counts[] = {
      {"batch_size", [](JobConfig& config, int count) { config.batch_size = count; }},
      {"num_micro_batches", [](JobConfig& config, int count) { config.num_micro_batches = count; }},
      {"num_chunks", [](JobConfig& config, int count) { config.num_chunks = count; }},
      {"pipeline_parallel_size",
       [](JobConfig& config, int count) { config.sizes.pipeline = count; }},
      {"tensor_parallel_size", [](JobConfig& config, int count) { config.sizes.tensor = count; }},
      {"data_parallel_size", [](JobConfig& config, int count) { config.sizes.data = count; }}};
  for (const auto& [name, set] : counts) {
    for (const int count : {0, -1, std::numeric_limits<int>::min()}) {
      EXPECT_EQ(ErrorAfter([&](JobConfig& config) { set(config, count); }),
                name + " " + std::to_string(count) + " is not allowed: it must be at least 1");
    }
  }
  EXPECT_EQ(ErrorAfter([](JobConfig& config) { config.prefix_len = -1; }),
            "prefix_len -1 is not allowed: it must be at least 0");
}

TEST(PlanJob, RefusesProductsOverTheirType) {
  constexpr int kMost = std::numeric_limits<int>::max();
  EXPECT_THAT(ErrorAfter([](JobConfig& config) {
                config.sizes = {kMost, kMost, kMost};
              }),
              testing::HasSubstr("pipeline_parallel_size x tensor_parallel_size"));
  EXPECT_THAT(ErrorAfter([](JobConfig& config) {
                config.sizes = {1, 65536, 65536};
              }),
              testing::HasSubstr("world_size 4294967296 is not allowed"));
  EXPECT_THAT(ErrorAfter([](JobConfig& config) { config.num_micro_batches = kMost; }),
              testing::HasSubstr("batch_size 4 is not divisible by 2147483647 micro-batches"));
}

TEST(PlanJob, RefusesAGradDTypeThatThePrecisionHasNot) {
  EXPECT_EQ(ErrorAfter([](JobConfig& config) { config.grad_dtype = DType::kFloat64; }),
            "grad_dtype f64 is not allowed with dtype f32: it must be f32");
}

TEST(PlanJob, NumbersTheStagesOfEachRank) {
  JobConfig config = Config();
  config.scheme = "zero_bubble_v";
  config.num_micro_batches = 4;
  config.sizes.pipeline = 2;
  const JobPlan plan = PlanJob(config);
  EXPECT_EQ(plan.stages_of_rank, (std::vector<std::vector<int>>{{0, 3}, {1, 2}}));
  EXPECT_EQ(plan.place_of_stage, (std::vector<int>{0, 0, 1, 1}));
}

// Two ranks, a V of four stages, two micro-batches.
JobConfig ConfigWithSchedule() {
  JobConfig config = Config();
  config.scheme = "file";
  config.num_micro_batches = 2;
  config.sizes.pipeline = 2;
  config.given_schedule = std::make_shared<const Schedule>(
      ParseScheduleFile("0F0,0F1,3F0,3B0,0B0,3F1,3B1,0B1\n1F0,2F0,1F1,2F1,2B0,1B0,2B1,1B1\n"));
  return config;
}

TEST(PlanJob, UsesAGivenSchedule) {
  JobConfig config = ConfigWithSchedule();
  JobPlan plan = PlanJob(config);
  EXPECT_EQ(FindError(plan.schedule), std::nullopt);
  EXPECT_EQ(plan.stages_of_rank, (std::vector<std::vector<int>>{{0, 3}, {1, 2}}));
  EXPECT_EQ(plan.schedule.ops_of_rank[0].size(), 8u + 8u);  // four messages are sent, four received
  config.pass = Pass::kForward;
  plan = PlanJob(config);
  EXPECT_EQ(plan.schedule.pass, Pass::kForward);
  EXPECT_EQ(plan.schedule.ops_of_rank[0].size(), 4u + 4u);
}

TEST(PlanJob, NamesNumbersThatAreNotThoseOfAGivenSchedule) {
  JobConfig config = ConfigWithSchedule();
  config.sizes.pipeline = 4;
  EXPECT_EQ(ErrorOf(config), "pipeline_parallel_size 4 is not allowed: the schedule has 2 ranks");
  config = ConfigWithSchedule();
  config.num_micro_batches = 4;
  EXPECT_EQ(ErrorOf(config),
            "num_micro_batches 4 is not allowed: the schedule has 2 micro-batches");
  config = ConfigWithSchedule();
  config.slices = {{0, 2}, {2, 4}};
  EXPECT_EQ(ErrorOf(config), "number of slices 2 is not allowed: the schedule has 1 slices");
  config = ConfigWithSchedule();
  config.given_schedule = std::make_shared<const Schedule>(ForwardOf(*config.given_schedule));
  EXPECT_EQ(ErrorOf(config),
            "pass step is not allowed: the schedule has no backward ops; valid: forward");
}

}  // namespace
}  // namespace sluice
