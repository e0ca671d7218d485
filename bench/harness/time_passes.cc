#include "bench/harness/time_passes.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <utility>

#include "bench/harness/calibration.h"
#include "bench/harness/counted.h"
#include "bench/harness/over_ranks.h"
#include "bench/harness/process_usage.h"
#include "core/base/check.h"
#include "core/base/median.h"
#include "parallel/comm/rank_status.h"

namespace sluice {
namespace {

constexpr int64_t kMaxSteps = 1'000'000;

// The time of each warm-up pass, maximum over ranks. All ranks run equally many.
std::vector<double> WarmUp(Executor& executor, Communicator& world, const MeasureOptions& options) {
  std::vector<double> pass_s;
  double total_s = 0;
  while (std::ssize(pass_s) < options.num_warmup_steps || total_s < options.warmup_s) {
    const int64_t begin_ns = MonotonicNs();
    executor.RunStep();
    const double own_s = static_cast<double>(MonotonicNs() - begin_ns) * 1e-9;
    pass_s.push_back(MaxOverRanks(world, own_s));
    total_s += pass_s.back();
  }
  return pass_s;
}

// The number of passes to time, estimated by the last warm-up passes.
size_t NumSteps(const std::vector<double>& warmup_s, const MeasureOptions& options) {
  constexpr int64_t kNumLast = 10;
  const auto num_last = std::min(kNumLast, std::ssize(warmup_s));
  const double pass_s = Median({warmup_s.end() - num_last, warmup_s.end()});
  const double enough = std::ceil(options.timed_s / pass_s);
  return static_cast<size_t>(
      std::clamp(enough, static_cast<double>(options.n_steps), static_cast<double>(kMaxSteps)));
}

}  // namespace

double TimedPasses::median_s() const { return Median(step_s); }
double TimedPasses::min_s() const { return *std::min_element(step_s.begin(), step_s.end()); }
double TimedPasses::max_s() const { return *std::max_element(step_s.begin(), step_s.end()); }

TimedPasses TimePasses(Executor& executor, const RankEnvironment& environment, CommKind comm,
                       const MeasureOptions& options, const PassHooks& hooks) {
  Communicator& world = environment.world;
  Backend& backend = environment.backend;
  const bool is_cpu = backend.device->kind() == DeviceKind::kCpu;
  const auto begin_part = [&](std::string_view part) {
    if (hooks.on_part) hooks.on_part(part);
  };
  Calibration calibration;
  const std::unique_ptr<StreamTimer> timer = backend.stream->MakeTimer();
  const std::unique_ptr<DeviceMonitor> monitor = backend.device->MakeMonitor();
  begin_part("warm_up");
  const std::vector<double> warmup_s = WarmUp(executor, world, options);
  const size_t n_steps = NumSteps(warmup_s, options);
  std::vector<double> own_step_s(n_steps), calibration_cpu_s;
  TimedPasses passes = {.step_cpu_s = std::vector<double>(n_steps),
                        .warmup_s = std::accumulate(warmup_s.begin(), warmup_s.end(), 0.0)};

  begin_part("timed_passes");
  std::optional<ContentionMeter> meter;  // one for each process
  if (world.rank() == 0 || RanksAreProcesses(comm)) meter.emplace();
  if (monitor != nullptr) monitor->Start();
  for (size_t step = 0; step < n_steps; ++step) {
    if (is_cpu) calibration_cpu_s.push_back(calibration.CpuSeconds());
    world.Barrier();
    const double begin_cpu_s = ProcessCpuSeconds();
    timer->Begin();
    RunCounted([&] { executor.EnqueueStep(); });
    timer->End();
    executor.FinishStep();
    own_step_s[step] = static_cast<double>(timer->ElapsedNs()) * 1e-9;
    // The CPU time of a process includes all its ranks, so each must have finished.
    world.Barrier();
    passes.step_cpu_s[step] = ProcessCpuSeconds() - begin_cpu_s;
    if (hooks.on_pass) hooks.on_pass();
  }
  if (monitor != nullptr) passes.conditions = monitor->Stop();
  const CpuContention own_contention = meter ? meter->Stop() : CpuContention();

  passes.step_s = MaxOverRanks(world, std::move(own_step_s));
  passes.calibration_cpu_s = MeanOverRanks(world, std::move(calibration_cpu_s));
  if (is_cpu) passes.contention = MostContention(world, own_contention);
  return passes;
}

}  // namespace sluice
