#include "bench/harness/run_benchmarks.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "bench/harness/calibration.h"
#include "bench/harness/condition_metrics.h"
#include "core/base/atomic_file.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/cli/build_info.h"
#include "core/device/cpu/cpu_limits.h"
#include "core/kernels/cpu/gemm.h"

namespace sluice {
namespace {

// Throws Error if a number cannot be written.
void CheckSamples(const Samples& samples) {
  SLUICE_CHECK(!samples.elapsed_s.empty());
  SLUICE_CHECK_EQ(samples.cpu_s.size(), samples.elapsed_s.size());
  if (!samples.calibration_cpu_s.empty()) {
    SLUICE_CHECK_EQ(samples.calibration_cpu_s.size(), samples.elapsed_s.size());
  }
  for (const auto& [name, value] : samples.counters) {
    if (!std::isfinite(value)) throw Error(name + " is not finite");  // JSON has no NaN
  }
}

// Adds the counters of contention and conditions, and prints a line if the machine was disturbed.
void AddSurroundings(Samples* samples, bool prints_disturbances) {
  if (samples->conditions) AddConditions("", *samples->conditions, &samples->counters);
  if (!samples->contention) return;
  AddCounters(ContentionMetrics(), *samples->contention, &samples->counters);
  if (!prints_disturbances || !IsDisturbed(*samples->contention)) return;
  fmt::print("  disturbed while timed: {}\n", Describe(*samples->contention));
  std::fflush(stdout);
}

// Passes one measured repetition to Google Benchmark.
void Report(const Samples& samples, size_t repetition, benchmark::State& state) {
  for ([[maybe_unused]] auto _ : state) state.SetIterationTime(samples.elapsed_s[repetition]);
  for (const auto& [name, value] : samples.counters) state.counters[name] = value;
  if (!samples.calibration_cpu_s.empty()) {
    state.counters["calibration_cpu_ns"] = samples.calibration_cpu_s[repetition] * 1e9;
  }
}

using SamplesByName = std::map<std::string, Samples>;

// Passes every repetition to Google Benchmark's JSON writer.
class RowReporter : public benchmark::BenchmarkReporter {
 public:
  explicit RowReporter(const SamplesByName& samples) : samples_(samples) {
    json_.SetOutputStream(&json_text_);
    json_.SetErrorStream(&json_text_);
  }

  bool ReportContext(const Context& context) override { return json_.ReportContext(context); }

  void ReportRuns(const std::vector<Run>& runs) override {
    // Google Benchmark's means over repetitions are left out (docs/metrics.md).
    std::vector<Run> repetitions;
    for (const Run& run : runs) {
      if (run.run_type == Run::RT_Iteration) repetitions.push_back(Edited(run));
    }
    if (!repetitions.empty()) json_.ReportRuns(repetitions);
  }

  void Finalize() override { json_.Finalize(); }

  std::string json_text() const { return json_text_.str(); }

 private:
  // Replaces Google Benchmark's CPU time, which is that of Report alone, by the repetition's, and
  // removes "/manual_time" from the name.
  Run Edited(Run run) const {
    const Samples& samples = samples_.at(run.run_name.function_name);
    run.cpu_accumulated_time = samples.cpu_s[static_cast<size_t>(run.repetition_index)];
    run.run_name.time_type.clear();
    run.run_name.iterations.clear();
    run.run_name.repetitions.clear();
    return run;
  }

  const SamplesByName& samples_;
  benchmark::JSONReporter json_;
  std::ostringstream json_text_;
};

// Adds the details of benchmarks to a result: "details": {name: value, ...}, one line each.
std::string WithDetails(const std::string& json, const SamplesByName& samples_by_name,
                        const std::vector<std::string>& names) {
  std::vector<std::string> details;
  for (const std::string& name : names) {
    const std::string& text = samples_by_name.at(name).details;
    if (!text.empty()) details.push_back(nlohmann::json(name).dump() + ": " + text);
  }
  if (details.empty()) return json;
  const size_t end = json.rfind('}');
  SLUICE_CHECK(end != std::string::npos && end > 0);
  return fmt::format("{},\n  \"details\": {{\n    {}\n  }}\n}}\n",
                     json.substr(0, json.find_last_not_of("\n ", end - 1) + 1),
                     fmt::join(details, ",\n    "));
}

// The result file of all samples.
std::string JsonOf(const SamplesByName& samples_by_name, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const Samples& samples = samples_by_name.at(name);
    benchmark::RegisterBenchmark(name.c_str(),
                                 [&samples, repetition = size_t{0}](auto& state) mutable {
                                   Report(samples, repetition++, state);
                                 })
        ->UseManualTime()
        ->Iterations(1)
        ->Repetitions(static_cast<int>(samples.elapsed_s.size()))
        ->Unit(benchmark::kMillisecond);
  }
  RowReporter reporter(samples_by_name);
  benchmark::RunSpecifiedBenchmarks(&reporter, ".");
  benchmark::ClearRegisteredBenchmarks();
  return WithDetails(reporter.json_text(), samples_by_name, names);
}

}  // namespace

BenchmarkContext BuildContext() {
  const BuildInfo& info = GetBuildInfo();
  return {{"version", info.version},
          {"commit", info.commit},
          {"dirty", info.tree == "clean" ? "false" : "true"},
          {"compiler", info.compiler},
          {"compiler_flags", info.flags},
          {"build_mode", info.mode},
          {"ndebug", info.has_asserts ? "false" : "true"},
          {"sanitizer", info.sanitizer},
          {"blas", cpu::GemmDescription()},
          {"calibration_version", std::to_string(kCalibrationVersion)}};
}

BenchmarkContext MachineContext() {
  const CpuLimits limits = FindCpuLimits();
  return {{"cpu_affinity", InRanges(limits.cpus)},
          {"cpu_quota", limits.quota_cpus ? fmt::format("{:.3g}", *limits.quota_cpus) : "none"}};
}

std::vector<size_t> SelectedIndices(const std::vector<std::string>& names,
                                    const std::string& filter) {
  // std::regex recurses into nested groups, so a longer text could exhaust the stack.
  constexpr size_t kMaxFilterSize = 1000;
  if (filter.size() > kMaxFilterSize) {
    throw Error(fmt::format("--filter has {} characters; at most {} are allowed", filter.size(),
                            kMaxFilterSize));
  }
  const bool excludes = filter.starts_with('-');
  std::vector<size_t> selected;
  try {
    const std::regex expression(filter.substr(excludes ? 1 : 0), std::regex::extended);
    for (size_t i = 0; i < names.size(); ++i) {
      if (std::regex_search(names[i], expression) != excludes) selected.push_back(i);
    }
  } catch (const std::regex_error& error) {
    throw Error(fmt::format("--filter '{}' is not a regular expression: {}", filter, error.what()));
  }
  if (selected.empty()) {
    throw Error(fmt::format("--filter '{}' {} benchmark; there are: {}", filter,
                            excludes ? "excludes every" : "matches no", fmt::join(names, ", ")));
  }
  return selected;
}

int RunBenchmarks(const std::vector<Benchmark>& benchmarks, const BenchmarkRunOptions& options) {
  std::vector<std::string> names;
  for (const Benchmark& benchmark : benchmarks) names.push_back(benchmark.name);
  SamplesByName samples_by_name;
  const std::vector<size_t> selected = SelectedIndices(names, options.result.filter);
  for (const size_t i : selected) {
    const bool is_new = samples_by_name.try_emplace(names[i]).second;
    if (!is_new) throw Error(fmt::format("'{}' is given twice", names[i]));
  }
  if (options.result.lists) {
    for (const size_t i : selected) {
      if (options.rank == 0) fmt::print("{}\n", names[i]);
    }
    return 0;
  }
  if (options.before) options.before();
  benchmark::CPUInfo::Get();  // reads the machine's load, before ours adds to it
  std::vector<std::string> measured;
  for (const size_t i : selected) {
    try {
      Samples& samples = samples_by_name.at(names[i]);
      samples = benchmarks[i].measure();
      AddSurroundings(&samples, options.rank == 0 && options.prints_disturbances);
      CheckSamples(samples);
      measured.push_back(names[i]);
    } catch (const Error& error) {
      if (options.rank == 0) fmt::print(stderr, "error: {}: {}\n", names[i], error.what());
    }
  }
  if (measured.size() < selected.size()) return 1;
  if (options.rank != 0 || options.result.json_out.empty()) return 0;
  for (const BenchmarkContext& context : {BuildContext(), MachineContext(), options.context}) {
    for (const auto& [key, value] : context) benchmark::AddCustomContext(key, value);
  }
  WriteFileAtomically(options.result.json_out, JsonOf(samples_by_name, measured));
  return 0;
}

}  // namespace sluice
