#include "bench/grid/grid_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "core/base/check.h"
#include "core/base/checked_math.h"

namespace sluice {
namespace {

constexpr const char* kRow = "{:>6} {:>6} {:>7} {:>7} {:>11} {:>11} {:>9} {:>12} {:>8} {:>10}{}\n";

// A unit in which a rate has few digits.
struct RateUnit {
  const char* name;
  double flops_per_s;
};

RateUnit RateUnitOf(const std::vector<GridRecord>& records) {
  double ceiling = 0;
  for (const GridRecord& record : records) ceiling = std::max(ceiling, record.ceiling_flops_per_s);
  return ceiling < 2e12 ? RateUnit{"GFLOP/s", 1e9} : RateUnit{"TFLOP/s", 1e12};
}

std::set<int64_t> Values(const std::vector<GridRecord>& records, int64_t GridPoint::*axis) {
  std::set<int64_t> values;
  for (const GridRecord& record : records) values.insert(record.point.*axis);
  return values;
}

std::string PrefixLabel(const GridPoint& point) {
  const int64_t factor = point.prefix_len / point.seq_len;
  if (factor == 0) return "no prefix";
  return fmt::format("prefix {} x seq_len", factor);
}

struct PanelKey {
  int64_t num_layers;
  int64_t hidden_size;
};

// The lines of the panel, one for each prefix, the shortest prefix first.
FigurePanel PanelOf(const std::vector<GridRecord>& records, const PanelKey& key,
                    const std::function<double(const GridRecord&, int64_t elapsed_ns)>& y_of) {
  std::map<int64_t, FigureSeries> series;  // by prefix_len / seq_len
  int64_t num_points = 0, num_left_out = 0;
  for (const GridRecord& record : records) {
    const GridPoint& point = record.point;
    if (point.num_layers != key.num_layers || point.hidden_size != key.hidden_size) continue;
    ++num_points;
    if (record.status == PointStatus::kOutOfMemory) {
      ++num_left_out;
      continue;
    }
    FigureSeries& line = series[point.prefix_len / point.seq_len];
    line.label = PrefixLabel(point);
    const double a = y_of(record, record.min_ns), b = y_of(record, record.max_ns);
    line.points.push_back({.x = static_cast<double>(point.seq_len),
                           .y = y_of(record, record.median_ns),
                           .y_range = FigureRange{std::min(a, b), std::max(a, b)}});
  }
  FigurePanel panel;
  for (const auto& [factor, line] : series) panel.series.push_back(line);
  if (num_left_out > 0) {
    panel.note = fmt::format("{} of {} need more memory", num_left_out, num_points);
  }
  return panel;
}

FigureSeries CeilingOf(const std::vector<GridRecord>& records, RateUnit unit) {
  FigureSeries line = {.label = "a large square product, measured", .style = LineStyle::kReference};
  const std::set<int64_t> seq_lens = Values(records, &GridPoint::seq_len);
  double ceiling = 0;
  for (const GridRecord& record : records) ceiling = std::max(ceiling, record.ceiling_flops_per_s);
  if (ceiling == 0) return line;
  for (const int64_t seq_len : {*seq_lens.begin(), *seq_lens.rbegin()}) {
    line.points.push_back({.x = static_cast<double>(seq_len), .y = ceiling / unit.flops_per_s});
  }
  return line;
}

std::string LayersText(int64_t num_layers) {
  return num_layers == 1 ? "1 layer" : fmt::format("{} layers", num_layers);
}

}  // namespace

std::string ConditionsText(const GridConditions& conditions) {
  std::map<std::string, std::string> value(conditions.begin(), conditions.end());
  const std::string where = value["device"] == "cpu" ? fmt::format("{} thread(s)", value["threads"])
                                                     : std::string("one GPU");
  return fmt::format("{} ({}), {}, {}, batch {}, heads of {}, median of {}, commit {}{}, {}",
                     value["device"], value["device_name"], where, value["dtype"],
                     value["batch_size"], value["head_dim"], value["n_steps"],
                     value["commit"].substr(0, 12),
                     value["dirty"] == "true" ? " (with local changes)" : "", value["build_mode"]);
}

std::string GridTable(const std::vector<GridRecord>& records) {
  std::string table = fmt::format(kRow, "layers", "hidden", "seq_len", "prefix", "ms median",
                                  "ms min", "spread", "GFLOP/s", "of peak", "memory", "");
  for (const GridRecord& record : records) {
    const GridPoint& p = record.point;
    if (record.status == PointStatus::kOutOfMemory) {
      table += fmt::format("{:>6} {:>6} {:>7} {:>7} needs {}, {} were available\n", p.num_layers,
                           p.hidden_size, p.seq_len, p.prefix_len, FormatBytes(record.needed_bytes),
                           FormatBytes(record.available_bytes));
      continue;
    }
    const double median = static_cast<double>(record.median_ns);
    table += fmt::format(
        kRow, p.num_layers, p.hidden_size, p.seq_len, p.prefix_len,
        fmt::format("{:.3f}", median * 1e-6),
        fmt::format("{:.3f}", static_cast<double>(record.min_ns) * 1e-6),
        fmt::format("{:.1f} %", 100 * static_cast<double>(record.max_ns - record.min_ns) / median),
        fmt::format("{:.1f}", record.flops_per_s() * 1e-9),
        fmt::format("{:.1f} %", 100 * record.flops_per_s() / record.ceiling_flops_per_s),
        FormatBytes(record.needed_bytes), record.is_disturbed() ? "  disturbed" : "");
  }
  return table;
}

Figure GridFigure(const std::string& title, const GridConditions& conditions,
                  const std::vector<GridRecord>& records) {
  SLUICE_CHECK(!records.empty());
  const RateUnit unit = RateUnitOf(records);
  const std::set<int64_t> hidden_sizes = Values(records, &GridPoint::hidden_size);
  const std::set<int64_t> num_layers = Values(records, &GridPoint::num_layers);
  Figure figure = {
      .title = title, .subtitle = ConditionsText(conditions), .x_title = "seq_len (tokens)"};
  for (const int64_t hidden_size : hidden_sizes) {
    figure.column_titles.push_back(fmt::format("hidden_size {}", hidden_size));
  }
  for (const int64_t layers : num_layers) {
    FigureRow row = {.label = LayersText(layers), .y_title = "forward time (ms)"};
    for (const int64_t hidden_size : hidden_sizes) {
      row.panels.push_back(
          PanelOf(records, {layers, hidden_size}, [](const GridRecord&, int64_t elapsed_ns) {
            return static_cast<double>(elapsed_ns) * 1e-6;
          }));
    }
    figure.rows.push_back(row);
  }
  FigureRow rates = {.label = LayersText(*num_layers.rbegin()),
                     .y_title = fmt::format("achieved rate ({})", unit.name),
                     .y_scale = AxisScale::kLinearFromZero};
  for (const int64_t hidden_size : hidden_sizes) {
    rates.panels.push_back(PanelOf(records, {*num_layers.rbegin(), hidden_size},
                                   [&](const GridRecord& record, int64_t elapsed_ns) {
                                     return record.flops_per_s(elapsed_ns) / unit.flops_per_s;
                                   }));
    rates.panels.back().series.push_back(CeilingOf(records, unit));
  }
  figure.rows.push_back(rates);
  return figure;
}

}  // namespace sluice
