// A benchmark whose cost is known: the target on which tools/perf measures its own false alarms and
// power (`perf selftest`).  --work_permille sets how much a step does, 1000 by default, so that
// 1050 is a true slowdown of 5 %.  It follows the contract of every benchmark target: --json_out,
// --n_steps, --calibration_runs, and the context keys that tools/perf reads.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "bench/harness/calibration.h"
#include "core/base/error.h"
#include "core/base/parse.h"

namespace sluice {
namespace {

struct Options {
  std::string json_out;
  int64_t work_permille = 1000;
  int64_t n_steps = 3;
  int64_t calibration_runs = 3;
};

Options ParseOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const size_t equals = std::min(argument.find('='), argument.size() - 1);
    const std::string_view name = argument.substr(0, equals), value = argument.substr(equals + 1);
    if (name == "--json_out") {
      options.json_out = value;
    } else if (name == "--work_permille") {
      options.work_permille = ParseInteger("work_permille", value, {1, 1'000'000});
    } else if (name == "--n_steps") {
      options.n_steps = ParseInteger("n_steps", value, {1, 1'000'000});
    } else if (name == "--calibration_runs") {
      options.calibration_runs = ParseInteger("calibration_runs", value, {0, 1000});
    } else {
      throw Error(fmt::format("unknown argument '{}'", argument));
    }
  }
  return options;
}

// One step: dot products with the rows of an array of 256 KB and scaled sums of them, as in
// attention over a cached prefix, over 24 `work_permille` rows.
void Step(const std::vector<float>& rows, int64_t num_rows, std::vector<float>* sum) {
  const size_t row_length = sum->size();
  const int64_t num_stored = static_cast<int64_t>(rows.size() / row_length);
  for (int64_t i = 0; i < num_rows; ++i) {
    const float* row = &rows[i % num_stored * row_length];
    float dots[8] = {};
    for (size_t j = 0; j < row_length; ++j) dots[j % 8] += row[j] * 0.25f;
    const float weight = std::accumulate(dots, std::end(dots), 0.0f);
    for (size_t j = 0; j < row_length; ++j) (*sum)[j] += weight * row[j];
  }
}

void BM_KnownCost(benchmark::State& state, int64_t num_rows) {
  const std::vector<float> rows(64 * 1000, 0.5f);
  std::vector<float> sum(64);
  for (auto _ : state) {
    Step(rows, num_rows, &sum);
    benchmark::DoNotOptimize(sum.data());
    benchmark::ClobberMemory();
  }
}

void AddContext(int64_t calibration_runs) {
  Calibration calibration;
  for (int i = 0; i < calibration_runs; ++i) calibration.Run();
#ifdef NDEBUG
  const std::string ndebug = "true", build_mode = "opt";
#else
  const std::string ndebug = "false", build_mode = "dbg";
#endif
  benchmark::AddCustomContext("calibration_cpu_ns", std::to_string(calibration.min_cpu_ns()));
  benchmark::AddCustomContext("calibration_version", std::to_string(kCalibrationVersion));
  benchmark::AddCustomContext("ndebug", ndebug);
  benchmark::AddCustomContext("build_mode", build_mode);
  benchmark::AddCustomContext("compiler", __VERSION__);
  benchmark::AddCustomContext("device", "cpu");
  benchmark::AddCustomContext("world_size", "1");
}

void Run(const Options& options) {
  std::vector<std::string> arguments = {"known_cost_benchmark"};
  if (!options.json_out.empty()) {
    arguments.push_back("--benchmark_out=" + options.json_out);
    arguments.push_back("--benchmark_out_format=json");
  }
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  int count = static_cast<int>(pointers.size());
  benchmark::Initialize(&count, pointers.data());
  AddContext(options.calibration_runs);
  benchmark::RegisterBenchmark("known_cost", BM_KnownCost, 24 * options.work_permille)
      ->Iterations(options.n_steps)
      ->Repetitions(5);
  benchmark::RunSpecifiedBenchmarks();
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  try {
    sluice::Run(sluice::ParseOptions(argc, argv));
  } catch (const sluice::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return sluice::kBadInputExitCode;
  }
}
