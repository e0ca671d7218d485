#include "bench/svg/svg.h"

#include <fmt/format.h>

#include <cmath>

namespace sluice::svg {
namespace {

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    const bool is_control = static_cast<unsigned char>(c) < 0x20;
    switch (c) {
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '&':
        escaped += "&amp;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += is_control ? ' ' : c;
    }
  }
  return escaped;
}

std::string OpenRect(const Box& box, std::string_view attributes) {
  return fmt::format(R"(<rect x="{:.1f}" y="{:.1f}" width="{:.2f}" height="{:.1f}" {})", box.x,
                     box.y, box.width, box.height, attributes);
}

}  // namespace

std::string Document(const Size& size, std::string_view content) {
  return fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" )"
      R"(height="{1:.0f}" font-family="sans-serif" font-size="11" fill="#222222">)"
      "\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{2}</svg>\n",
      size.width, size.height, content);
}

std::string Text(double x, double y, std::string_view attributes, std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, attributes,
                     Escaped(text));
}

std::string Line(const Point& from, const Point& to, std::string_view attributes) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", from.x,
                     from.y, to.x, to.y, attributes);
}

std::string Rect(const Box& box, std::string_view attributes) {
  return OpenRect(box, attributes) + "/>\n";
}

std::string Rect(const Box& box, std::string_view attributes, std::string_view tooltip) {
  return fmt::format("{}><title>{}</title></rect>\n", OpenRect(box, attributes), Escaped(tooltip));
}

std::string Polyline(const std::vector<Point>& points, std::string_view attributes) {
  std::string path;
  for (const Point& point : points) path += fmt::format("{:.1f},{:.1f} ", point.x, point.y);
  return fmt::format("<polyline points=\"{}\" {}/>\n", path, attributes);
}

std::string Circle(const Point& center, double radius, std::string_view attributes) {
  return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" {}/>\n", center.x, center.y,
                     radius, attributes);
}

std::vector<double> LinearTicks(double min, double max) {
  const double raw = (max - min) / 6;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= raw) step = factor * power;
  }
  const double last = max + 1e-9 * step;  // a tick at `max` survives rounding
  std::vector<double> ticks;
  for (double i = std::ceil(min / step); i * step <= last; ++i) ticks.push_back(i * step);
  return ticks;
}

}  // namespace sluice::svg
