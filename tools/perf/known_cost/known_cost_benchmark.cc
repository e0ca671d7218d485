// A benchmark whose cost is known: the target on which tools/perf measures its own false alarms and
// power (`perf selftest`).  --work_permille sets how much a step does, so that 1050 is a true
// slowdown of 5 %; with --slow_permille_of_steps=200 only every fifth step does so much.
#include <fmt/format.h>

#include <numeric>
#include <vector>

#include "bench/harness/calibration.h"
#include "bench/harness/counted.h"
#include "bench/harness/process_usage.h"
#include "bench/harness/result_flags.h"
#include "bench/harness/run_benchmarks.h"
#include "core/base/check.h"
#include "core/cli/flags.h"
#include "core/cli/main.h"
#include "programs/shared_flags.h"

SLUICE_FLAG_GROUP("Work and measurement");
SLUICE_INT_FLAG(work_permille, 1000, 1, 1'000'000, "work of a step, in thousandths");
SLUICE_INT_FLAG(slow_permille_of_steps, 1000, 0, 1000,
                "steps that do work_permille, in thousandths of all; the others do 1000");
SLUICE_N_STEPS_FLAG(40, "timed steps");

namespace sluice {
namespace {

// Aligned as a device's buffers are.
struct alignas(64) Row {
  float values[64];
};

// 256 KB: in the second-level cache.
constexpr size_t kNumStoredRows = 1000;

// One step: dot products with the rows, as often as needed, and scaled sums of them, as in
// attention over a cached prefix.
void Step(const std::vector<Row>& rows, int64_t num_rows, Row* sum) {
  size_t next = 0;
  for (int64_t i = 0; i < num_rows; ++i) {
    const Row& row = rows[next];
    next = next + 1 == rows.size() ? 0 : next + 1;
    float dots[8] = {};
    for (size_t j = 0; j < std::size(row.values); ++j) dots[j % 8] += row.values[j] * 0.25f;
    const float weight = std::accumulate(dots, std::end(dots), 0.0f);
    for (size_t j = 0; j < std::size(row.values); ++j) sum->values[j] += weight * row.values[j];
  }
}

// Spreads the slow steps evenly.
bool IsSlow(int64_t step) {
  const int64_t share = FLAGS_slow_permille_of_steps;
  return (step + 1) * share / 1000 > step * share / 1000;
}

int64_t NumRows(int64_t step) { return 16 * (IsSlow(step) ? FLAGS_work_permille : 1000); }

Samples Measure() {
  std::vector<Row> rows(kNumStoredRows);
  for (Row& row : rows) std::fill(std::begin(row.values), std::end(row.values), 0.5f);
  Row sum = {};
  Step(rows, NumRows(0), &sum);
  Samples samples;
  Calibration calibration;
  for (int64_t i = 0; i < FLAGS_n_steps; ++i) {
    const int64_t num_rows = NumRows(i);
    sum = {};
    samples.calibration_cpu_s.push_back(calibration.CpuSeconds());
    const double begin_s = ProcessCpuSeconds();
    RunCounted([&] { Step(rows, num_rows, &sum); });
    samples.cpu_s.push_back(ProcessCpuSeconds() - begin_s);
    // 32 quarters of a half in each weight: proof that every row was used.
    SLUICE_CHECK_EQ(sum.values[0], static_cast<float>(num_rows) * 8 * 0.5f);
  }
  // One thread that waits for nothing.
  samples.elapsed_s = samples.cpu_s;
  return samples;
}

int Run() {
  return RunBenchmarks(
      {{.name = "known_cost", .measure = Measure}},
      {.result = ResultOptionsFromFlags(), .context = {{"device", "cpu"}, {"world_size", "1"}}});
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::Main(
      argc, argv,
      {.purpose = "Does a known amount of work and times it.",
       .example = "bazel run //tools/perf/known_cost:known_cost_benchmark -- --work_permille=1050"},
      sluice::Run);
}
