// An SVG figure of small panels in rows and columns: lines over a logarithmic x axis, with one
// legend.
//
// All panels share the x axis. Rows with the same y title share the y axis, so that heights can be
// compared across the figure. Texts are escaped here.
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

// A reference line is dashed, has no dots, and extends to both edges of its panel.
enum class LineStyle { kData, kReference };

struct FigureSeries {
  std::string
      label;  // series with the same label share a colour, a dash pattern and a line of the legend
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
  std::vector<FigurePanel> panels;  // equally many in each row
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

// The tick values of an axis, ascending, all in [min, max]. Linear: at most about seven, each 1, 2
// or 5 times a power of ten. Log: powers of ten, and 2 and 5 times these if they are few.
std::vector<double> Ticks(AxisScale scale, double min, double max);

}  // namespace sluice
