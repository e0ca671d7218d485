// Runs benchmarks and writes their results; any failure makes the exit code non-zero.
//
//   return RunBenchmarks({{.name = "scheme:gpipe/...", .measure = ...}},
//                        {.result = ResultOptionsFromFlags(), .context = {{"device", "cpu"}}});
//
// A benchmark measures all its repetitions in one call, because ranks, warm-up and checks happen
// once. It chooses their number and prints its own row. The result file is Google Benchmark's JSON,
// with a row for each repetition, the context keys of docs/metrics.md, and `details` of benchmarks
// that have any. It is written completely or not at all, and not if a benchmark failed. Google
// Benchmark exits with 0 after an error and when a filter matches nothing; here the exit code is 1
// after an error, and a filter that matches nothing throws Error.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/harness/cpu_contention.h"
#include "core/device/device_monitor.h"

namespace sluice {

// The results of one benchmark.
struct Samples {
  // One element for each repetition: real_time and cpu_time of its row.
  std::vector<double> elapsed_s;
  std::vector<double> cpu_s;  // all threads of this process

  // Calibration::CpuSeconds directly before each repetition, written with its row; empty on CUDA.
  std::vector<double> calibration_cpu_s;

  // During all repetitions, written with the counters: contention on the CPU, which is also printed
  // below the row if the machine was disturbed, and the conditions of a GPU.
  std::optional<CpuContention> contention = std::nullopt;
  std::optional<DeviceConditions> conditions = std::nullopt;

  // Numbers about all repetitions together, by name; repeated in each row.
  std::map<std::string, double> counters = {};

  // More about the benchmark: a JSON value, written under its name; empty: none.
  std::string details = {};
};

struct Benchmark {
  std::string name;  // unique in a program: "scheme:gpipe/model:test/..."

  // Throws Error if there is nothing to time; the benchmark has then failed.
  std::function<Samples()> measure;
};

// Which benchmarks run, and where their results go. result_flags.h makes it from flags.
struct ResultOptions {
  // A regular expression over the benchmarks' names; after a leading '-', it selects the names that
  // do not match.
  std::string filter = ".";
  bool lists = false;    // prints the selected names and runs nothing
  std::string json_out;  // the path of the result file; empty: none
};

// Key and value, in the order of printing.
using BenchmarkContext = std::vector<std::pair<std::string, std::string>>;

struct BenchmarkRunOptions {
  ResultOptions result;
  BenchmarkContext context;         // in addition to BuildContext and MachineContext
  int rank = 0;                     // of this process; only rank 0 reports and writes
  bool prints_disturbances = true;  // a line after each benchmark that was disturbed
  // Called after the benchmarks have been checked, before the first is measured; may be null.
  std::function<void()> before;
};

// The keys of this build: version, commit, dirty, compiler, compiler_flags, build_mode, ndebug,
// sanitizer, blas, calibration_version.
BenchmarkContext BuildContext();

// The keys of this process: cpu_affinity ("0-3,8"), and cpu_quota, the CPU time per second that it
// may use ("none" if there is no limit).
BenchmarkContext MachineContext();

// Positions of the names that the filter selects. Throws Error if the filter is not a regular
// expression, is too long, or matches nothing.
std::vector<size_t> SelectedIndices(const std::vector<std::string>& names,
                                    const std::string& filter);

// Runs the benchmarks that the filter selects, in order, or prints their names if options.result
// says so; returns the exit code. Throws Error as SelectedIndices does, and if two benchmarks have
// the same name. May be called once in a process.
int RunBenchmarks(const std::vector<Benchmark>& benchmarks, const BenchmarkRunOptions& options);

}  // namespace sluice
