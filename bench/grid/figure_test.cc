#include "bench/grid/figure.h"

#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <string>

namespace sluice {
namespace {

using Values = std::vector<double>;

Figure TwoPanels() {
  Figure figure = {.title = "a < b & \"c\"", .subtitle = "s", .x_title = "seq_len (tokens)"};
  figure.column_titles = {"left", "right"};
  figure.rows.push_back({.label = "3 layers", .y_title = "time (ms)"});
  figure.rows.back().panels = {
      {.series = {{.label = "p 0", .points = {{.x = 1, .y = 10}, {.x = 4, .y = 40}}},
                  {.label = "limit",
                   .style = LineStyle::kReference,
                   .points = {{.x = 1, .y = 5}, {.x = 4, .y = 5}}}}},
      {.series = {{.label = "p 0", .points = {{.x = 1, .y = 20}}}}, .note = "1 point"}};
  return figure;
}

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(FigureSvg, DrawsEveryPointAndText) {
  const std::string svg = FigureSvg(TwoPanels());
  EXPECT_EQ(Count(svg, "<circle"), 3u);
  EXPECT_EQ(Count(svg, "<polyline"), 3u);
  EXPECT_EQ(Count(svg, ">p 0<"), 1u);  // one line of the legend for both panels
  for (const char* text : {">time (ms)<", ">seq_len (tokens)<", ">left<", ">right<", ">1 point<",
                           ">limit<", "a &lt; b &amp; &quot;c&quot;"}) {
    EXPECT_NE(svg.find(text), std::string::npos) << text;
  }
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

// Larger values stand higher and further right, and the same value at the same height in both
// panels.
TEST(FigureSvg, PutsValuesInOrder) {
  Figure figure = TwoPanels();
  figure.rows[0].panels[1].series[0].points = {{.x = 1, .y = 40}};
  const std::string svg = FigureSvg(figure);
  const std::regex circle("<circle cx=\"([0-9.]+)\" cy=\"([0-9.]+)\"");
  std::vector<FigurePoint> places;
  for (std::sregex_iterator it(svg.begin(), svg.end(), circle), end; it != end; ++it) {
    places.push_back({.x = std::stod((*it)[1]), .y = std::stod((*it)[2])});
  }
  ASSERT_EQ(places.size(), 3u);
  EXPECT_LT(places[0].x, places[1].x);
  EXPECT_GT(places[0].y, places[1].y);
  EXPECT_EQ(places[1].y, places[2].y);
}

// Even where all data stands at one x.
TEST(FigureSvg, DrawsAReferenceFromEdgeToEdge) {
  Figure figure = TwoPanels();
  figure.column_titles.pop_back();
  figure.rows[0].panels.pop_back();
  figure.rows[0].panels[0].series[0].points = {{.x = 2, .y = 10}};
  figure.rows[0].panels[0].series[1].points = {{.x = 2, .y = 5}};
  const std::string svg = FigureSvg(figure);
  std::smatch panel, line;
  ASSERT_TRUE(std::regex_search(
      svg, panel,
      std::regex("<rect x=\"([0-9.]+)\" y=\"[0-9.]+\" width=\"([0-9.]+)\" [^>]*fafafa")));
  ASSERT_TRUE(std::regex_search(
      svg, line,
      std::regex("<polyline points=\"([0-9.]+),[^\"]* ([0-9.]+),[0-9.]+ \"[^>]*dasharray")));
  EXPECT_EQ(line[1], panel[1]);
  EXPECT_NEAR(std::stod(line[2]), std::stod(panel[1]) + std::stod(panel[2]), 0.2);
}

// More series than colours: no two have the same stroke.
TEST(FigureSvg, TellsManySeriesApart) {
  Figure figure = TwoPanels();
  for (int i = 1; i < 20; ++i) {
    figure.rows[0].panels[0].series.push_back(
        {.label = "p " + std::to_string(i), .points = {{.x = 1, .y = 10}, {.x = 4, .y = 40}}});
  }
  const std::string svg = FigureSvg(figure);
  const std::regex stroke("<polyline [^>]*(stroke=\"#[^/]*)/>");
  std::set<std::string> strokes;
  for (std::sregex_iterator it(svg.begin(), svg.end(), stroke), end; it != end; ++it) {
    strokes.insert((*it)[1]);
  }
  EXPECT_EQ(strokes.size(), 21u);  // and the reference's
}

TEST(FigureSvg, DrawsTheRangeOfAPointAndMakesRoomForIt) {
  Figure figure = TwoPanels();
  figure.rows[0].panels[0].series[0].points[0].y_range = FigureRange{2, 400};
  const std::string svg = FigureSvg(figure);
  std::smatch panel, bar;
  ASSERT_TRUE(std::regex_search(
      svg, panel,
      std::regex("<rect x=\"[0-9.]+\" y=\"([0-9.]+)\" [^>]*height=\"([0-9.]+)\" fill=\"#fafafa")));
  ASSERT_TRUE(std::regex_search(
      svg, bar, std::regex("y1=\"([0-9.]+)\" x2=\"[0-9.]+\" y2=\"([0-9.]+)\" [^>]*opacity")));
  EXPECT_LT(std::stod(bar[1]), std::stod(panel[1]) + std::stod(panel[2]));
  EXPECT_GT(std::stod(bar[2]), std::stod(panel[1]));
  EXPECT_GT(std::stod(bar[1]), std::stod(bar[2]));
}

TEST(FigureSvg, TakesAPanelWithoutPoints) {
  Figure figure = TwoPanels();
  for (FigurePanel& panel : figure.rows[0].panels) panel.series.clear();
  EXPECT_NE(FigureSvg(figure).find("3 layers"), std::string::npos);
}

TEST(Ticks, AreRoundNumbers) {
  EXPECT_EQ(Ticks(AxisScale::kLinearFromZero, 0, 180), Values({0, 50, 100, 150}));
  EXPECT_EQ(Ticks(AxisScale::kLinearFromZero, 0, 1), Values({0, 0.2, 0.4, 0.2 * 3, 0.8, 1}));
  EXPECT_EQ(Ticks(AxisScale::kLog, 0.9, 11), Values({1, 2, 5, 10}));
  EXPECT_EQ(Ticks(AxisScale::kLog, 0.5, 20000), Values({1, 10, 100, 1000, 10000}));
}

}  // namespace
}  // namespace sluice
