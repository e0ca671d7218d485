#include "bench/harness/run_benchmarks.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <regex>
#include <sstream>

#include "bench/harness/calibration.h"
#include "core/base/atomic_file.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/cli/build_info.h"
#include "core/kernels/cpu/gemm.h"

namespace sluice {
namespace {

using GoogleRun = benchmark::BenchmarkReporter::Run;

// A benchmark that measures when its first repetition is asked for; each repetition then reports
// one sample.
class Measured {
 public:
  explicit Measured(const Benchmark& benchmark) : benchmark_(benchmark) {}

  void Report(benchmark::State& state) {
    if (next_repetition_ == 0) Measure();
    if (!error_.empty()) {
      state.SkipWithError(error_.c_str());
      return;
    }
    for ([[maybe_unused]] auto _ : state) {
      state.SetIterationTime(samples_.elapsed_s[next_repetition_]);
    }
    for (const auto& [name, value] : samples_.counters) state.counters[name] = value;
    if (!samples_.calibration_cpu_s.empty()) {
      state.counters["calibration_cpu_ns"] = samples_.calibration_cpu_s[next_repetition_] * 1e9;
    }
    ++next_repetition_;
  }

  // Google Benchmark clocked only the handing over of a time that had been measured before: puts
  // the repetition's CPU time in place, and drops "/manual_time" from the name.
  void Edit(GoogleRun& run) const {
    run.cpu_accumulated_time = samples_.cpu_s[static_cast<size_t>(run.repetition_index)];
    run.run_name.time_type.clear();
    run.run_name.iterations.clear();
    run.run_name.repetitions.clear();
  }

 private:
  void Measure() {
    if (!error_.empty()) return;
    try {
      samples_ = benchmark_.measure();
    } catch (const Error& error) {
      error_ = error.what();
      return;
    }
    SLUICE_CHECK_EQ(static_cast<int64_t>(samples_.elapsed_s.size()), benchmark_.num_repetitions);
    SLUICE_CHECK_EQ(samples_.cpu_s.size(), samples_.elapsed_s.size());
    if (!samples_.calibration_cpu_s.empty()) {
      SLUICE_CHECK_EQ(samples_.calibration_cpu_s.size(), samples_.elapsed_s.size());
    }
    for (const auto& [name, value] : samples_.counters) {
      if (!std::isfinite(value)) error_ = fmt::format("{} is not finite", name);  // JSON has no NaN
    }
  }

  const Benchmark& benchmark_;
  Samples samples_;
  std::string error_;
  size_t next_repetition_ = 0;
};

using MeasuredByName = std::map<std::string, Measured>;

// Hands every repetition to the JSON writer, and prints and counts the failed ones.
class StrictReporter : public benchmark::BenchmarkReporter {
 public:
  StrictReporter(const MeasuredByName& measured, int rank) : measured_(measured), rank_(rank) {
    json_.SetOutputStream(&json_text_);
    json_.SetErrorStream(&json_text_);
  }

  bool ReportContext(const Context& context) override { return json_.ReportContext(context); }

  void ReportRuns(const std::vector<Run>& runs) override {
    // Means over repetitions say little (docs/metrics.md): readers get the repetitions.
    std::vector<Run> repetitions;
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration) continue;
      repetitions.push_back(run);
      if (run.error_occurred) {
        ++num_failed_;
        Print(run);
      } else {
        measured_.at(run.run_name.function_name).Edit(repetitions.back());
      }
    }
    if (!repetitions.empty()) json_.ReportRuns(repetitions);
  }

  void Finalize() override { json_.Finalize(); }

  int num_failed() const { return num_failed_; }
  std::string json_text() const { return json_text_.str(); }

 private:
  void Print(const Run& run) const {
    if (rank_ != 0 || run.repetition_index > 0) return;
    fmt::print(stderr, "error: {}: {}\n", run.run_name.function_name, run.error_message);
  }

  const MeasuredByName& measured_;
  int rank_;
  benchmark::JSONReporter json_;
  std::ostringstream json_text_;
  int num_failed_ = 0;
};

}  // namespace

BenchmarkContext BuildContext() {
  const BuildInfo& info = GetBuildInfo();
  return {{"commit", info.commit},
          {"dirty", info.tree == "clean" ? "false" : "true"},
          {"compiler", info.compiler},
          {"compiler_flags", info.flags},
          {"build_mode", info.mode},
          {"ndebug", info.has_asserts ? "false" : "true"},
          {"sanitizer", info.sanitizer},
          {"blas", cpu::GemmDescription()},
          {"calibration_version", std::to_string(kCalibrationVersion)}};
}

std::vector<size_t> SelectedIndices(const std::vector<std::string>& names,
                                    const std::string& filter) {
  // std::regex follows nested groups by recursion: a longer text could exhaust the stack.
  constexpr size_t kMaxFilterSize = 1000;
  if (filter.size() > kMaxFilterSize) {
    throw Error(fmt::format("--filter has {} characters; at most {} are allowed", filter.size(),
                            kMaxFilterSize));
  }
  std::vector<size_t> selected;
  try {
    const std::regex expression(filter, std::regex::extended);
    for (size_t i = 0; i < names.size(); ++i) {
      if (std::regex_search(names[i], expression)) selected.push_back(i);
    }
  } catch (const std::regex_error& error) {
    throw Error(fmt::format("--filter '{}' is not a regular expression: {}", filter, error.what()));
  }
  if (selected.empty()) {
    throw Error(fmt::format("--filter '{}' matches no benchmark; there are: {}", filter,
                            fmt::join(names, ", ")));
  }
  return selected;
}

int RunBenchmarks(const std::vector<Benchmark>& benchmarks, const BenchmarkRunOptions& options) {
  std::vector<std::string> names;
  for (const Benchmark& benchmark : benchmarks) names.push_back(benchmark.name);
  MeasuredByName measured_by_name;
  const std::vector<size_t> selected = SelectedIndices(names, options.result.filter);
  for (const size_t i : selected) {
    const bool is_new = measured_by_name.try_emplace(names[i], benchmarks[i]).second;
    if (!is_new) throw Error(fmt::format("'{}' is asked for twice", names[i]));
  }
  if (options.before) options.before();
  for (const size_t i : selected) {
    const Benchmark& benchmark = benchmarks[i];
    Measured& measured = measured_by_name.at(benchmark.name);
    benchmark::RegisterBenchmark(benchmark.name.c_str(),
                                 [&measured](benchmark::State& state) { measured.Report(state); })
        ->UseManualTime()
        ->Iterations(1)
        ->Repetitions(static_cast<int>(benchmark.num_repetitions))
        ->Unit(benchmark::kMillisecond);
  }
  for (const BenchmarkContext& context : {BuildContext(), options.context}) {
    for (const auto& [key, value] : context) benchmark::AddCustomContext(key, value);
  }
  StrictReporter reporter(measured_by_name, options.rank);
  benchmark::RunSpecifiedBenchmarks(&reporter, ".");
  benchmark::ClearRegisteredBenchmarks();
  if (reporter.num_failed() > 0) return 1;
  if (options.rank == 0 && !options.result.json_out.empty()) {
    WriteFileAtomically(options.result.json_out, reporter.json_text());
  }
  return 0;
}

}  // namespace sluice
