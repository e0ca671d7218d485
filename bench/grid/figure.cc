#include "bench/grid/figure.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

#include "bench/svg/svg.h"
#include "core/base/check.h"

namespace sluice {
namespace {

// Dash patterns. Colours repeat after eight series; each further eight have the next pattern.
constexpr std::array<const char*, 4> kDashes = {"", "1.5 3", "9 3", "9 3 1.5 3"};
constexpr const char* kReferenceColor = "#666666";

constexpr double kWidth = 1180, kLeft = 78, kRight = 16, kTop = 112, kBottom = 52, kGap = 14;
constexpr double kLegendY = 74, kLegendLine = 18;

// The width of a legend entry with its stroke. An upper bound, because fonts differ.
double LegendWidth(const std::string& label) {
  return 28 + 6.0 * static_cast<double>(label.size()) + 20;
}

struct Stroke {
  std::string color, dashes;
};

struct Range {
  double min = std::numeric_limits<double>::infinity();
  double max = -std::numeric_limits<double>::infinity();

  void Add(double value) {
    min = std::min(min, value);
    max = std::max(max, value);
  }
};

// Maps values to coordinates of the picture.
class Scale {
 public:
  struct Span {
    double begin, end;
  };
  Scale(AxisScale kind, Range range, Span span) : kind_(kind), range_(range), span_(span) {}

  double operator()(double value) const {
    const double position = (Transformed(value) - Transformed(range_.min)) /
                            std::max(Transformed(range_.max) - Transformed(range_.min), 1e-300);
    return span_.begin + position * (span_.end - span_.begin);
  }

  AxisScale kind() const { return kind_; }
  const Range& range() const { return range_; }

 private:
  double Transformed(double value) const {
    return kind_ == AxisScale::kLog ? std::log(value) : value;
  }

  AxisScale kind_;
  Range range_;
  Span span_;
};

// Adds a margin around the data, so that no line runs along the frame.
Range Padded(AxisScale scale, Range range) {
  SLUICE_CHECK_GT(range.min, 0);
  if (scale == AxisScale::kLinearFromZero) return {0, 1.2 * range.max};
  const double margin = range.min == range.max ? std::sqrt(2.0) : 1.12;
  return {range.min / margin, range.max * margin};
}

bool HasPoints(const FigureRow& row) {
  for (const FigurePanel& panel : row.panels) {
    for (const FigureSeries& series : panel.series) {
      if (!series.points.empty()) return true;
    }
  }
  return false;
}

class Drawing {
 public:
  explicit Drawing(const Figure& figure) : figure_(figure) {
    SLUICE_CHECK(!figure.rows.empty() && !figure.rows.front().panels.empty());
    num_columns_ = figure.rows.front().panels.size();
    panel_width_ = (kWidth - kLeft - kRight) / static_cast<double>(num_columns_) - kGap;
    panel_height_ = figure.rows.size() > 2 ? 150 : 260;
    for (const FigureRow& row : figure.rows) AddRanges(row);
    PlaceLegend();
    height_ = top_ + static_cast<double>(figure.rows.size()) * (panel_height_ + kGap) + kBottom;
  }

  std::string Svg() {
    svg_ += svg::Text(kLeft, 28, "font-size=\"18\" font-weight=\"bold\"", figure_.title);
    svg_ += svg::Text(kLeft, 48, "fill=\"#555555\"", figure_.subtitle);
    DrawLegend();
    for (size_t row = 0; row < figure_.rows.size(); ++row) {
      for (size_t column = 0; column < num_columns_; ++column) DrawPanel(row, column);
    }
    DrawTitles();
    return svg::Document({.width = kWidth, .height = height_}, svg_);
  }

 private:
  void AddRanges(const FigureRow& row) {
    Range& y = y_ranges_[row.y_title];
    for (const FigurePanel& panel : row.panels) {
      for (const FigureSeries& series : panel.series) {
        if (series.style == LineStyle::kData && !strokes_.contains(series.label)) {
          const size_t index = strokes_.size();
          strokes_[series.label] = {svg::kColors[index % svg::kColors.size()],
                                    kDashes[index / svg::kColors.size() % kDashes.size()]};
        }
        if (std::find(labels_.begin(), labels_.end(), series.label) == labels_.end()) {
          labels_.push_back(series.label);
        }
        for (const FigurePoint& point : series.points) {
          x_range_.Add(point.x);
          y.Add(point.y);
          if (!point.y_range) continue;
          y.Add(point.y_range->min);
          y.Add(point.y_range->max);
        }
      }
    }
  }

  double Left(size_t column) const {
    return kLeft + static_cast<double>(column) * (panel_width_ + kGap);
  }
  double Top(size_t row) const { return top_ + static_cast<double>(row) * (panel_height_ + kGap); }

  std::string LineAttributes(const std::string& label) const {
    const auto stroke = strokes_.find(label);
    if (stroke == strokes_.end()) {
      return fmt::format("stroke=\"{}\" stroke-dasharray=\"6 4\"", kReferenceColor);
    }
    const auto& [color, dashes] = stroke->second;
    if (dashes.empty()) return fmt::format("stroke=\"{}\"", color);
    return fmt::format("stroke=\"{}\" stroke-dasharray=\"{}\"", color, dashes);
  }

  // Breaks the legend into lines of the figure's width; the panels begin below the last.
  void PlaceLegend() {
    FigurePoint place = {.x = kLeft, .y = kLegendY};
    for (const std::string& label : labels_) {
      if (place.x > kLeft && place.x + LegendWidth(label) > kWidth) {
        place = {.x = kLeft, .y = place.y + kLegendLine};
      }
      legend_places_.push_back(place);
      place.x += LegendWidth(label);
    }
    top_ = kTop + place.y - kLegendY;
  }

  void DrawLegend() {
    for (size_t i = 0; i < labels_.size(); ++i) {
      const double x = legend_places_[i].x, y = legend_places_[i].y;
      svg_ += svg::Line({x, y}, {x + 22, y}, LineAttributes(labels_[i]) + " stroke-width=\"2.5\"");
      svg_ += svg::Text(x + 28, y + 4, "", labels_[i]);
    }
  }

  void DrawTitles() {
    for (size_t column = 0; column < figure_.column_titles.size(); ++column) {
      svg_ +=
          svg::Text(Left(column) + panel_width_ / 2, top_ - 8,
                    "text-anchor=\"middle\" font-weight=\"bold\"", figure_.column_titles[column]);
    }
    svg_ += svg::Text(kLeft + (kWidth - kLeft - kRight) / 2, height_ - 12,
                      "text-anchor=\"middle\" font-size=\"13\"", figure_.x_title);
    // One y title for each run of rows that share it.
    for (size_t begin = 0, end = 0; begin < figure_.rows.size(); begin = end) {
      while (end < figure_.rows.size() &&
             figure_.rows[end].y_title == figure_.rows[begin].y_title) {
        ++end;
      }
      const double y = (Top(begin) + Top(end) - kGap) / 2;
      svg_ += svg::Text(20, y,
                        fmt::format("text-anchor=\"middle\" font-size=\"13\" "
                                    "transform=\"rotate(-90 20 {:.1f})\"",
                                    y),
                        figure_.rows[begin].y_title);
    }
  }

  void DrawPanel(size_t row_index, size_t column) {
    const FigureRow& row = figure_.rows[row_index];
    const FigurePanel& panel = row.panels[column];
    const double left = Left(column), top = Top(row_index);
    const double right = left + panel_width_, bottom = top + panel_height_;
    svg_ += svg::Rect({.x = left, .y = top, .width = panel_width_, .height = panel_height_},
                      "fill=\"#fafafa\" stroke=\"#bbbbbb\"");
    if (HasPoints(row)) {
      const Scale x(AxisScale::kLog, Padded(AxisScale::kLog, x_range_), {left, right});
      const Scale y(row.y_scale, Padded(row.y_scale, y_ranges_.at(row.y_title)), {bottom, top});
      DrawAxes(row_index, column, x, y);
      for (const FigureSeries& series : panel.series) DrawSeries(series, x, y);
    }
    svg_ += svg::Text(left + 7, top + 15, "font-weight=\"bold\" fill=\"#555555\"", row.label);
    svg_ += svg::Text(right - 6, bottom - 6, "text-anchor=\"end\" fill=\"#aa3311\"", panel.note);
  }

  void DrawAxes(size_t row, size_t column, const Scale& x, const Scale& y) {
    constexpr const char* kGrid = "stroke=\"#e3e3e3\"";
    const double left = Left(column), bottom = Top(row) + panel_height_;
    for (const double tick : XTicks(x.range())) {
      svg_ += svg::Line({x(tick), Top(row)}, {x(tick), bottom}, kGrid);
      if (row + 1 < figure_.rows.size()) continue;
      svg_ += svg::Text(x(tick), bottom + 15, "text-anchor=\"middle\"", fmt::format("{:g}", tick));
    }
    for (const double tick : Ticks(y.kind(), y.range().min, y.range().max)) {
      svg_ += svg::Line({left, y(tick)}, {left + panel_width_, y(tick)}, kGrid);
      if (column > 0) continue;
      svg_ += svg::Text(left - 6, y(tick) + 4, "text-anchor=\"end\"", fmt::format("{:g}", tick));
    }
  }

  // Powers of two, thinned until their labels have room.
  std::vector<double> XTicks(const Range& range) const {
    const int first = static_cast<int>(std::ceil(std::log2(range.min)));
    const int last = static_cast<int>(std::floor(std::log2(range.max)));
    const int most = std::max(2, static_cast<int>(panel_width_ / 38));
    const int stride = (last - first) / most + 1;
    std::vector<double> ticks;
    for (int power = last; power >= first; power -= stride) ticks.push_back(std::exp2(power));
    return ticks;
  }

  void DrawSeries(const FigureSeries& series, const Scale& x, const Scale& y) {
    const std::string attributes = LineAttributes(series.label);
    std::vector<FigurePoint> line = series.points;
    if (series.style == LineStyle::kReference && !line.empty()) {
      line.insert(line.begin(), {.x = x.range().min, .y = line.front().y});
      line.push_back({.x = x.range().max, .y = line.back().y});
    }
    std::vector<svg::Point> path;
    for (const FigurePoint& point : line) path.push_back({x(point.x), y(point.y)});
    svg_ += svg::Polyline(path, "fill=\"none\" stroke-width=\"1.8\" " + attributes);
    DrawRanges(series, x, y);
    // The dots of a dense sweep would merge into a second, thicker line.
    if (series.style == LineStyle::kReference || series.points.size() > 40) return;
    for (const FigurePoint& point : series.points) {
      svg_ += svg::Circle({x(point.x), y(point.y)}, 2.6,
                          fmt::format("fill=\"{}\"", strokes_.at(series.label).color));
    }
  }

  void DrawRanges(const FigureSeries& series, const Scale& x, const Scale& y) {
    for (const FigurePoint& point : series.points) {
      if (!point.y_range) continue;
      svg_ += svg::Line({x(point.x), y(point.y_range->min)}, {x(point.x), y(point.y_range->max)},
                        fmt::format("stroke=\"{}\" stroke-opacity=\"0.5\" stroke-width=\"3\"",
                                    strokes_.at(series.label).color));
    }
  }

  const Figure& figure_;
  size_t num_columns_ = 0;
  double height_ = 0, top_ = 0, panel_width_ = 0, panel_height_ = 0;
  Range x_range_;
  std::map<std::string, Range> y_ranges_;  // by y title
  std::vector<std::string> labels_;        // in the order of their first series
  std::vector<FigurePoint> legend_places_;
  std::map<std::string, Stroke> strokes_;  // of data, by label
  std::string svg_;
};

}  // namespace

std::vector<double> Ticks(AxisScale scale, double min, double max) {
  if (scale == AxisScale::kLinearFromZero) return svg::LinearTicks(min, max);
  std::vector<double> ticks;
  const double decades = std::log10(max / min);
  const double stride = std::max(1.0, std::ceil(decades / 6));
  for (double power = std::floor(std::log10(min)); std::pow(10, power) <= max; power += stride) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double tick = factor * std::pow(10, power);
      if ((factor == 1 || decades < 2) && tick >= min && tick <= max) ticks.push_back(tick);
    }
  }
  return ticks;
}

std::string FigureSvg(const Figure& figure) { return Drawing(figure).Svg(); }

}  // namespace sluice
