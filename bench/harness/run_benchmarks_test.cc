#include "bench/harness/run_benchmarks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace sluice {
namespace {

TEST(SelectedIndices, AreThoseThatMatchInOrder) {
  EXPECT_THAT(SelectedIndices({"a:1", "b:1", "a:2"}, "a:"), testing::ElementsAre(0, 2));
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

}  // namespace
}  // namespace sluice
