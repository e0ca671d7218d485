// The elements of an SVG picture as text. A picture is one file without scripts that any browser
// opens; coordinates are pixels from the upper left corner.
//
//   std::string content = svg::Rect({.x = 10, .y = 10, .width = 80, .height = 20},
//   "fill=\"#0072b2\""); content += svg::Text(14, 24, "fill=\"#ffffff\"", "forward"); const
//   std::string picture = svg::Document({.width = 100, .height = 40}, content);
//
// `attributes` are written into the element as they are: `fill="#0072b2" stroke="none"`. Texts are
// escaped.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::svg {

// Okabe and Ito's colours, which can be told apart with any colour vision.
inline constexpr std::array<const char*, 8> kColors = {"#0072b2", "#e69f00", "#009e73", "#cc79a7",
                                                       "#56b4e9", "#d55e00", "#8c6d1f", "#4d4d4d"};

struct Point {
  double x = 0;
  double y = 0;
};

struct Size {
  double width = 0;
  double height = 0;
};

struct Box {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;
};

// The whole file: `content` on a white background.
std::string Document(const Size& size, std::string_view content);

// `y` is the baseline.
std::string Text(double x, double y, std::string_view attributes, std::string_view text);
std::string Line(const Point& from, const Point& to, std::string_view attributes);
std::string Rect(const Box& box, std::string_view attributes);

// A rectangle that shows `tooltip` under the mouse.
std::string Rect(const Box& box, std::string_view attributes, std::string_view tooltip);
std::string Polyline(const std::vector<Point>& points, std::string_view attributes);
std::string Circle(const Point& center, double radius, std::string_view attributes);

// Round values for a linear axis, rising, all in [min, max]: at most about seven, of the form 1, 2
// or 5 times a power of ten. `max` is greater than `min`.
std::vector<double> LinearTicks(double min, double max);

}  // namespace sluice::svg
