#include "bench/svg/svg.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::svg {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Svg, TextIsEscaped) {
  EXPECT_EQ(Text(1, 2, "", "a<b>\"&\n"),
            "<text x=\"1.0\" y=\"2.0\" >a&lt;b&gt;&quot;&amp; </text>\n");
  EXPECT_THAT(Rect({}, "fill=\"none\"", "1 < 2"), HasSubstr("<title>1 &lt; 2</title>"));
}

TEST(Svg, DocumentHasItsSizeAndContent) {
  const std::string picture = Document({.width = 100, .height = 40}, Line({0, 0}, {10, 5}, ""));
  EXPECT_THAT(picture, HasSubstr("viewBox=\"0 0 100 40\""));
  EXPECT_THAT(picture, HasSubstr("<line x1=\"0.0\" y1=\"0.0\" x2=\"10.0\" y2=\"5.0\" />"));
  EXPECT_TRUE(picture.ends_with("</svg>\n"));
}

TEST(LinearTicks, AreRoundAndFew) {
  EXPECT_THAT(LinearTicks(0, 10), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(LinearTicks(0, 0.3), ElementsAre(0, 0.05, 0.1, testing::DoubleEq(0.15), 0.2, 0.25,
                                               testing::DoubleEq(0.3)));
}

}  // namespace
}  // namespace sluice::svg
