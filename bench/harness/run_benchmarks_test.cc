#include "bench/harness/run_benchmarks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace sluice {
namespace {

TEST(SelectedIndices, AreThoseThatMatchInOrder) {
  EXPECT_THAT(SelectedIndices({"a:1", "b:1", "a:2"}, "a:"), testing::ElementsAre(0, 2));
}

TEST(SelectedIndices, AreThoseThatDoNotMatchBehindAMinus) {
  EXPECT_THAT(SelectedIndices({"a:1", "b:1", "a:2"}, "-a:"), testing::ElementsAre(1));
  EXPECT_THAT(SelectedIndices({"a:1", "b:-1"}, "[-]1"), testing::ElementsAre(1));
  EXPECT_THROW(SelectedIndices({"a:1", "a:2"}, "-a"), Error);
}

TEST(RunBenchmarks, ListsNamesAndRunsNothing) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(RunBenchmarks({{.name = "a:1", .measure = nullptr},
                           {.name = "b:1", .measure = nullptr},
                           {.name = "a:2", .measure = nullptr}},
                          {.result = {.filter = "-b", .lists = true}, .context = {}}),
            0);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "a:1\na:2\n");
}

TEST(MachineContext, HasWhatTheSystemGrants) {
  const BenchmarkContext context = MachineContext();
  ASSERT_THAT(context, testing::SizeIs(2));
  EXPECT_EQ(context[0].first, "cpu_affinity");
  EXPECT_FALSE(context[0].second.empty());
  EXPECT_EQ(context[1].first, "cpu_quota");
}

TEST(SelectedIndices, RefusesWhatSelectsNothingOrIsNoExpression) {
  EXPECT_THROW(SelectedIndices({"a"}, "b"), Error);
  EXPECT_THROW(SelectedIndices({"a"}, "("), Error);
  const size_t depth = 30'000;
  EXPECT_THROW(SelectedIndices({"a"}, std::string(depth, '(') + "a" + std::string(depth, ')')),
               Error);
}

TEST(RunBenchmarks, RefusesOneNameTwiceBeforeAnythingStarts) {
  bool has_started = false;
  EXPECT_THROW(RunBenchmarks({{.name = "a", .measure = nullptr}, {.name = "a", .measure = nullptr}},
                             {.result = {}, .context = {}, .before = [&] { has_started = true; }}),
               Error);
  EXPECT_FALSE(has_started);
}

TEST(RunBenchmarks, WritesARowForEachRepetitionThatWasMeasured) {
  const std::string path = testing::TempDir() + "/rows.json";
  const auto samples = [](std::vector<double> elapsed_s, std::vector<double> cpu_s, double count) {
    return [=] {
      return Samples{.elapsed_s = elapsed_s, .cpu_s = cpu_s, .counters = {{"count", count}}};
    };
  };
  ASSERT_EQ(RunBenchmarks(
                {{.name = "b/of:3", .measure = samples({1, 3, 2}, {4, 6, 5}, 7)},
                 {.name = "left out", .measure = nullptr},
                 {.name = "a/of:1", .measure = samples({0.5}, {0.25}, 8)}},
                {.result = {.filter = "/of:", .json_out = path}, .context = {{"device", "cpu"}}}),
            0);
  const nlohmann::json result = nlohmann::json::parse(std::ifstream(path));
  EXPECT_EQ(result.at("context").at("device"), "cpu");
  std::vector<std::string> rows;
  for (const nlohmann::json& row : result.at("benchmarks")) {
    EXPECT_EQ(row.at("time_unit"), "ms");
    rows.push_back(row.at("name").get<std::string>() + " " + row.at("real_time").dump() + " " +
                   row.at("cpu_time").dump() + " " + row.at("count").dump());
  }
  EXPECT_THAT(rows, testing::ElementsAre("b/of:3 1000.0 4000.0 7.0", "b/of:3 3000.0 6000.0 7.0",
                                         "b/of:3 2000.0 5000.0 7.0", "a/of:1 500.0 250.0 8.0"));
}

TEST(RunBenchmarks, WritesDetailsByName) {
  const std::string path = testing::TempDir() + "/details.json";
  const auto samples = [](std::string details) {
    return [=] { return Samples{.elapsed_s = {1}, .cpu_s = {1}, .details = details}; };
  };
  ASSERT_EQ(RunBenchmarks({{.name = "a\"", .measure = samples(R"({"ops": [1, 2]})")},
                           {.name = "b", .measure = samples("")},
                           {.name = "c", .measure = samples("3")}},
                          {.result = {.json_out = path}, .context = {}}),
            0);
  const nlohmann::json result = nlohmann::json::parse(std::ifstream(path));
  EXPECT_EQ(result.at("benchmarks").size(), 3u);
  EXPECT_EQ(result.at("details"), nlohmann::json::parse(R"({"a\"": {"ops": [1, 2]}, "c": 3})"));
}

TEST(RunBenchmarks, WritesNothingWhereOneFails) {
  const std::string path = testing::TempDir() + "/none.json";
  int num_measured = 0;
  const auto good = [&] {
    ++num_measured;
    return Samples{.elapsed_s = {1}, .cpu_s = {1}, .counters = {}};
  };
  const auto failing = []() -> Samples { throw Error("nothing was timed"); };
  const auto infinite = [] {
    return Samples{.elapsed_s = {1}, .cpu_s = {1}, .counters = {{"rate", INFINITY}}};
  };
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunBenchmarks({{.name = "a", .measure = failing},
                           {.name = "b", .measure = infinite},
                           {.name = "c", .measure = good}},
                          {.result = {.json_out = path}, .context = {}}),
            1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "error: a: nothing was timed\nerror: b: rate is not finite\n");
  EXPECT_EQ(num_measured, 1);
  EXPECT_FALSE(std::ifstream(path).good());
}

}  // namespace
}  // namespace sluice
