#include "parallel/exec/job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "core/base/error.h"

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

}  // namespace
}  // namespace sluice
