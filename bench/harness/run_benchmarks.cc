#include "bench/harness/run_benchmarks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <regex>
#include <sstream>

#include "bench/harness/calibration.h"
#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/cli/build_info.h"
#include "core/kernels/cpu/blas.h"

namespace sluice {
namespace {

// Hands every run to the display and to the JSON writer, and counts the failed ones.
class StrictReporter : public benchmark::BenchmarkReporter {
 public:
  StrictReporter(const BenchmarkRunOptions& options, benchmark::BenchmarkReporter& display)
      : options_(options), display_(display) {
    json_.SetOutputStream(&json_text_);
    json_.SetErrorStream(&json_text_);
  }

  bool ReportContext(const Context& context) override {
    json_.ReportContext(context);
    return display_.ReportContext(context);
  }

  void ReportRuns(const std::vector<Run>& runs) override {
    // Means over repetitions say little (docs/metrics.md): readers get the repetitions.
    std::vector<Run> edited;
    std::copy_if(runs.begin(), runs.end(), std::back_inserter(edited),
                 [](const Run& run) { return run.run_type == Run::RT_Iteration; });
    if (edited.empty()) return;
    for (Run& run : edited) {
      if (options_.edit_run && !run.error_occurred) options_.edit_run(run);
      RefuseWhatJsonCannotHold(run);
      num_failed_ += run.error_occurred ? 1 : 0;
    }
    display_.ReportRuns(edited);
    json_.ReportRuns(edited);
  }

  void Finalize() override {
    json_.Finalize();
    display_.Finalize();
  }

  int num_failed() const { return num_failed_; }
  std::string json_text() const { return json_text_.str(); }

 private:
  static void RefuseWhatJsonCannotHold(Run& run) {
    for (const auto& [name, counter] : run.counters) {
      if (std::isfinite(counter.value)) continue;
      run.error_occurred = true;
      run.error_message = fmt::format("{} is not finite", name);
    }
  }

  const BenchmarkRunOptions& options_;
  benchmark::BenchmarkReporter& display_;
  benchmark::JSONReporter json_;
  std::ostringstream json_text_;
  int num_failed_ = 0;
};

void CheckFilter(const std::string& filter) {
  try {
    std::regex(filter, std::regex::extended);
  } catch (const std::regex_error& error) {
    throw Error(fmt::format("--filter '{}' is not a regular expression: {}", filter, error.what()));
  }
}

BenchmarkContext CalibrationContext(int64_t num_runs) {
  if (num_runs == 0) return {};
  Calibration calibration;
  for (int64_t i = 0; i < num_runs; ++i) calibration.Run();
  return {{"calibration_cpu_ns", std::to_string(calibration.min_cpu_ns())},
          {"calibration_version", std::to_string(kCalibrationVersion)}};
}

}  // namespace

BenchmarkContext BuildContext() {
  const BuildInfo& info = GetBuildInfo();
  return {{"commit", info.commit},       {"dirty", info.tree == "clean" ? "false" : "true"},
          {"compiler", info.compiler},   {"compiler_flags", info.flags},
          {"build_mode", info.mode},     {"ndebug", info.has_asserts ? "false" : "true"},
          {"sanitizer", info.sanitizer}, {"blas", cpu::BlasDescription()}};
}

int RunBenchmarks(const BenchmarkRunOptions& options, benchmark::BenchmarkReporter& display) {
  CheckFilter(options.filter);
  for (const BenchmarkContext& context :
       {BuildContext(), options.context, CalibrationContext(options.num_calibration_runs)}) {
    for (const auto& [key, value] : context) benchmark::AddCustomContext(key, value);
  }
  StrictReporter reporter(options, display);
  const std::string filter = options.filter.empty() ? "." : options.filter;
  if (benchmark::RunSpecifiedBenchmarks(&reporter, filter) == 0) {
    throw Error(fmt::format("--filter '{}' matches no benchmark", options.filter));
  }
  if (reporter.num_failed() > 0) return 1;
  if (!options.json_out.empty()) WriteFileAtomically(options.json_out, reporter.json_text());
  return 0;
}

}  // namespace sluice
