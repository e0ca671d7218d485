// Prints the tables of docs/metrics.md that are generated from the tables of metrics, in their
// order there and with a blank line after each.
#include <fmt/format.h>

#include "bench/harness/condition_metrics.h"
#include "bench/harness/cpu_contention.h"
#include "bench/harness/measurement_metrics.h"

int main() {
  fmt::print("{}\n{}\n{}\n", sluice::MarkdownTable(sluice::MeasurementMetrics()),
             sluice::MarkdownTable(sluice::ConditionMetrics()),
             sluice::MarkdownTable(sluice::ContentionMetrics()));
  return 0;
}
