// A picture of small panels in rows, as SVG: lines over a logarithmic x axis, one legend for all.
//
// Panels of a column share the x axis and its title; rows with the same y title share the y axis,
// so that heights compare across the whole picture.  Texts are escaped here.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace sluice {

struct FigureRange {
  double min = 0, max = 0;  // positive
};

struct FigurePoint {
  double x = 0;                                       // positive
  double y = 0;                                       // positive
  std::optional<FigureRange> y_range = std::nullopt;  // drawn as a bar through the point
};

// A reference is dashed, has no dots, and goes on to both edges of its panel.
enum class LineStyle { kData, kReference };

struct FigureSeries {
  std::string label;  // one colour and dashing, and one line of the legend, for each label
  LineStyle style = LineStyle::kData;
  std::vector<FigurePoint> points;
};

struct FigurePanel {
  std::vector<FigureSeries> series;
  std::string note;  // shown small in the panel
};

enum class AxisScale { kLog, kLinearFromZero };

struct FigureRow {
  std::string label;    // shown in each panel: "24 layers"
  std::string y_title;  // with its unit
  AxisScale y_scale = AxisScale::kLog;
  std::vector<FigurePanel> panels;  // as many in every row
};

struct Figure {
  std::string title;
  std::string subtitle;  // the conditions
  std::string x_title;   // with its unit
  std::vector<std::string> column_titles;
  std::vector<FigureRow> rows;
};

// The SVG document.  There must be at least one row with one panel.
std::string FigureSvg(const Figure& figure);

// Values for the ticks of an axis, rising, all in [min, max]: at most about seven, of the form 1, 2
// or 5 times a power of ten (linear), or powers of ten, and 2 and 5 times those where there is room
// (log).
std::vector<double> Ticks(AxisScale scale, double min, double max);

}  // namespace sluice
