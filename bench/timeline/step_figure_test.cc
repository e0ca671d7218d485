#include "bench/timeline/step_figure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <regex>
#include <string>

#include "bench/timeline/example_step.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Box {
  double x, width;
};

// The boxes of one op, in the order of panels.
std::vector<Box> BoxesOf(const std::string& picture, const std::string& op) {
  const std::regex box("<rect x=\"([0-9.]+)\" y=\"[0-9.]+\" width=\"([0-9.]+)\"[^>]*><title>" + op +
                       ": ");
  std::vector<Box> boxes;
  for (std::sregex_iterator i(picture.begin(), picture.end(), box), end; i != end; ++i) {
    boxes.push_back({std::stod((*i)[1]), std::stod((*i)[2])});
  }
  return boxes;
}

TEST(StepFigure, PredictionAndMeasurementHaveOneTimeAxis) {
  const std::string picture =
      StepFigureSvg({ExampleStep("gpipe", {.num_ranks = 2, .num_micro_batches = 3})});
  const std::vector<Box> first = BoxesOf(picture, "F0\\.0\\.0");
  const std::vector<Box> second = BoxesOf(picture, "F0\\.1\\.0");
  ASSERT_EQ(first.size(), 2u);
  ASSERT_EQ(second.size(), 2u);
  EXPECT_EQ(first[0].x, first[1].x);
  EXPECT_NEAR(first[1].width, 1.1 * first[0].width, 0.02);
  EXPECT_NEAR(second[1].x - first[1].x, 1.1 * (second[0].x - first[0].x), 0.2);
}

TEST(StepFigure, ComparedSchedulesHaveOneTimeAxis) {
  const std::string picture =
      StepFigureSvg({ExampleStep("gpipe", {.num_ranks = 2, .num_micro_batches = 3}),
                     ExampleStep("zero_bubble_h1", {.num_ranks = 2, .num_micro_batches = 3})});
  const std::vector<Box> boxes = BoxesOf(picture, "F0\\.0\\.0");
  ASSERT_EQ(boxes.size(), 4u);
  EXPECT_EQ(boxes[0].width, boxes[2].width);
  EXPECT_THAT(picture, HasSubstr(">zero_bubble_h1</text>"));
}

// 2 ranks, 3 forwards of 1 ms and 3 backwards of 2 ms each, one forward and one backward idle, and
// two messages of 0.1 ms: 12.2 ms.
TEST(StepFigure, TitleHasTimeBubbleAndPeak) {
  const std::string picture =
      StepFigureSvg({ExampleStep("gpipe", {.num_ranks = 2, .num_micro_batches = 3})});
  EXPECT_THAT(picture, HasSubstr("predicted: 12.200 ms, bubble 26.2 %, peak activations 9.0 "
                                 "MiB"));
}

TEST(StepFigure, NumbersAreLeftOutWhereTheyDoNotFit) {
  const auto picture = [](int num_micro_batches) {
    return StepFigureSvg(
        {ExampleStep("gpipe", {.num_ranks = 2, .num_micro_batches = num_micro_batches})});
  };
  EXPECT_THAT(picture(4), HasSubstr(">3</text>"));
  EXPECT_THAT(picture(400), Not(HasSubstr(">399</text>")));
}

TEST(StepFigure, HasNoScriptAndNoReferenceToTheNetwork) {
  const std::string picture = StepFigureSvg({ExampleStep("single", {})});
  EXPECT_THAT(picture, Not(HasSubstr("<script")));
  EXPECT_THAT(picture, Not(HasSubstr("href")));
}

}  // namespace
}  // namespace sluice
