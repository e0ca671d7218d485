// The metrics of a measured job, in the order of docs/metrics.md.
//
//   std::map<std::string, double> json = Counters(measurement);
//
// To add one, add a row to the table in measurement_metrics.cc, then copy what
// `./bazelw run //bench/harness:metrics_tables` prints into docs/metrics.md; a test compares them.
#pragma once

#include <map>
#include <span>
#include <string>

#include "bench/harness/measure.h"
#include "bench/harness/metric.h"

namespace sluice {

// Those of every job; the metrics with a text are the columns of the table.
std::span<const Metric<Measurement>> MeasurementMetrics();

// The numbers of the JSON: the metrics above, the seconds of each part of the work, and the
// conditions during the sustained ceiling. RunBenchmarks adds contention and conditions during the
// passes.
std::map<std::string, double> Counters(const Measurement& measurement);

}  // namespace sluice
