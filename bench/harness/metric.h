// A table of metrics: each row is one number of a result, with everything that a reader, the JSON
// and docs/metrics.md need of it. Printing, JSON and the page all read the same table.
#pragma once

#include <fmt/format.h>

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sluice {

// A number of a `Source`, such as a Measurement.
template <typename Source>
struct Metric {
  std::string_view name;  // key in the JSON; empty for a number that is only printed
  std::string_view unit;  // as in docs/metrics.md: "ms", "operations / s", "1"
  // Absent if it was not measured: the JSON then has no such key, and the table has a dash.
  std::optional<double> (*value)(const Source& source);
  std::string_view formula;  // Markdown, for docs/metrics.md

  // The column or line in which the number is printed; a line break parts a header of two lines.
  std::string_view shown_as = "";
  // Set if it is a column of the table: the column's width, and the text of a value.
  int width = 0;
  std::string (*text)(double value) = nullptr;
};

// Adds the metrics that are present, each name behind `prefix`.
template <typename Source>
void AddCounters(std::span<const Metric<Source>> metrics, const Source& source,
                 std::map<std::string, double>* counters, std::string_view prefix = "") {
  for (const Metric<Source>& metric : metrics) {
    const std::optional<double> value = metric.value(source);
    if (value && !metric.name.empty()) {
      (*counters)[std::string(prefix) + std::string(metric.name)] = *value;
    }
  }
}

// One line of docs/metrics.md for each metric.
template <typename Source>
std::string MarkdownTable(std::span<const Metric<Source>> metrics) {
  std::string table = "| shown as | counter | unit | formula |\n|---|---|---|---|\n";
  for (const Metric<Source>& metric : metrics) {
    std::string shown_as(metric.shown_as);
    for (char& c : shown_as) c = c == '\n' ? ' ' : c;
    table += fmt::format("| {} | {} | {} | {} |\n", shown_as,
                         metric.name.empty() ? "" : fmt::format("`{}`", metric.name), metric.unit,
                         metric.formula);
  }
  return table;
}

}  // namespace sluice
