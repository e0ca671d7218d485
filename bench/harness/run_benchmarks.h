// Runs benchmarks, strictly, and writes their results.
//
//   return RunBenchmarks({{.name = "scheme:gpipe/...", .measure = ...}},
//                        {.result = ResultOptionsFromFlags(), .context = {{"device", "cpu"}}});
//
// A benchmark measures all its repetitions in one call, since ranks, warm-up and checks are made
// once, decides itself how many they are, and prints its own line for people.  The result file is
// Google Benchmark's own JSON, with a row for each repetition and our context keys
// (docs/metrics.md), written whole or not at all, and not at all when a benchmark failed.  Google
// Benchmark exits 0 after a benchmark's error and when a filter matches nothing; here the first
// makes the result 1, and the second is an Error.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace sluice {

// What one benchmark measured.
struct Samples {
  // Of each repetition: real_time and cpu_time of the rows.
  std::vector<double> elapsed_s;
  std::vector<double> cpu_s;  // of this process, all its threads

  // Calibration::CpuSeconds beside each repetition, written with its row; empty on cuda.
  std::vector<double> calibration_cpu_s;

  // Numbers about all repetitions together, by name: the same in each row.
  std::map<std::string, double> counters;
};

struct Benchmark {
  std::string name;  // unique in a program: "scheme:gpipe/model:test/..."

  // Throws Error where there is nothing to time: the benchmark has then failed.
  std::function<Samples()> measure;
};

// Which benchmarks run and where their results go; of flags, result_flags.h.
struct ResultOptions {
  // A regular expression over the benchmarks' names; behind a '-', those that do not match it.
  std::string filter = ".";
  bool lists = false;    // their names, instead of running them
  std::string json_out;  // the path of the result file; empty: none
};

// Key and value, in the order of printing.
using BenchmarkContext = std::vector<std::pair<std::string, std::string>>;

struct BenchmarkRunOptions {
  ResultOptions result;
  BenchmarkContext context;  // beside the keys of BuildContext and MachineContext
  int rank = 0;              // of this process; rank 0 alone reports and writes
  // Called once the benchmarks are known to be right, before the first is measured; may be null.
  std::function<void()> before;
};

// Of this build: commit, dirty, compiler, compiler_flags, build_mode, ndebug, sanitizer, blas,
// calibration_version.
BenchmarkContext BuildContext();

// Of this process and what the system grants it: cpu_affinity, "0-3,8", and cpu_quota, how many
// CPUs' time a second gives it, "none" where nothing limits that.
BenchmarkContext MachineContext();

// Positions of the names that the filter selects.  Throws Error where it is not a regular
// expression, is too long for one, or matches nothing.
std::vector<size_t> SelectedIndices(const std::vector<std::string>& names,
                                    const std::string& filter);

// Runs those that the filter selects, in order, or prints their names, one a line, where options
// ask for that; returns the exit code.  Throws Error where the filter is not a regular expression
// or matches nothing, and where two benchmarks have one name. Once in a process.
int RunBenchmarks(const std::vector<Benchmark>& benchmarks, const BenchmarkRunOptions& options);

}  // namespace sluice
