// Runs the benchmarks registered with Google Benchmark, strictly.
//
// Google Benchmark exits 0 after a benchmark's error and when a filter matches nothing; here the
// first makes the result 1, and the second is an Error.  The result file is Google Benchmark's own
// JSON with our context keys (docs/metrics.md), written whole or not at all, and not at all when a
// benchmark failed.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace sluice {

// Key and value, in the order of printing.
using BenchmarkContext = std::vector<std::pair<std::string, std::string>>;

struct BenchmarkRunOptions {
  std::string filter;    // a regular expression over the benchmarks' names; empty: all
  std::string json_out;  // the path of the result file; empty: none
  int64_t num_calibration_runs = 3;
  BenchmarkContext context;  // beside the keys of BuildContext

  // May correct a run before it is shown and written; null: as it is.
  std::function<void(benchmark::BenchmarkReporter::Run&)> edit_run;
};

// Of this build: commit, dirty, compiler, compiler_flags, build_mode, ndebug, sanitizer, blas.
BenchmarkContext BuildContext();

// Shows the runs on `display`; returns the exit code.  Throws Error where the filter matches
// nothing.
int RunBenchmarks(const BenchmarkRunOptions& options, benchmark::BenchmarkReporter& display);

}  // namespace sluice
