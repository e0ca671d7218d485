#include "bench/harness/cpu_contention.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "bench/harness/over_ranks.h"
#include "parallel/comm/rank_status.h"

namespace sluice {
namespace {

// A share of the time, larger than the variation between passes on a quiet machine.
constexpr double kMaxQuietShare = 0.02;

// The steal ticks in a line "cpu3 user nice system idle iowait irq softirq steal ..." of `cpu`; 0
// for any other line.
int64_t StealOf(const std::string& line, const std::string& cpu) {
  std::istringstream words(line);
  std::string name;
  if (!(words >> name) || name != cpu) return 0;
  int64_t ticks = 0;
  for (int field = 0; field < 8; ++field) words >> ticks;
  return words ? ticks : 0;
}

using C = CpuContention;
using Value = std::optional<double>;

constexpr auto kMetrics = std::to_array<Metric<C>>({
    {"run_delay_share", "1", [](const C& c) { return c.run_delay_share; },
     "time in which a thread was ready but did not run because something else ran on its core, / "
     "time; of the thread with the most. From `schedstat` in `/proc`; absent if the system has "
     "none"},
    {"steal_share", "1", [](const C& c) -> Value { return c.steal_share; },
     "time that the hypervisor of a virtual machine took from the CPUs of the affinity, / (time * "
     "these CPUs). From `/proc/stat`, in ticks of mostly 10 ms: a single tick counts as none"},
    {"num_throttled_periods", "1",
     [](const C& c) -> Value { return static_cast<double>(c.num_throttled_periods); },
     "periods in which a quota stopped the process's control group or one above it"},
    {"throttled_ms", "ms", [](const C& c) -> Value { return c.throttled_s * 1e3; },
     "for how long, summed over groups and CPUs as the system counts it"},
    {"is_disturbed", "1", [](const C& c) -> Value { return IsDisturbed(c) ? 1 : 0; },
     "1 if `run_delay_share` or `steal_share` is over 0.02 or `num_throttled_periods` is not 0, "
     "else 0"},
});

}  // namespace

double CpuContention::lost_share() const {
  return std::max(run_delay_share.value_or(0), steal_share);
}

bool IsDisturbed(const CpuContention& contention) {
  return contention.lost_share() > kMaxQuietShare || contention.num_throttled_periods > 0;
}

std::string Describe(const CpuContention& contention) {
  std::vector<std::string> losses;
  if (contention.run_delay_share.value_or(0) > kMaxQuietShare) {
    losses.push_back(fmt::format("a thread was ready and did not run for {:.1f} %",
                                 100 * *contention.run_delay_share));
  }
  if (contention.steal_share > kMaxQuietShare) {
    losses.push_back(
        fmt::format("the hypervisor took {:.1f} % of the CPUs", 100 * contention.steal_share));
  }
  if (contention.num_throttled_periods > 0) {
    losses.push_back(fmt::format("the quota stopped the process in {} periods, for {:.3f} s",
                                 contention.num_throttled_periods, contention.throttled_s));
  }
  return fmt::format("{}", fmt::join(losses, "; "));
}

std::span<const Metric<CpuContention>> ContentionMetrics() { return kMetrics; }

CpuContention MostContention(Communicator& world, const CpuContention& own) {
  const std::vector<double> most =
      MaxOverRanks(world, {own.run_delay_share.value_or(-1), own.steal_share,
                           static_cast<double>(own.num_throttled_periods), own.throttled_s});
  CpuContention contention = {.steal_share = most[1],
                              .num_throttled_periods = std::llround(most[2]),
                              .throttled_s = most[3]};
  if (most[0] >= 0) contention.run_delay_share = most[0];
  return contention;
}

ContentionMeter::ContentionMeter(SystemFiles files)
    : files_(std::move(files)),
      cpus_(FindCpuLimits(files_).cpus),
      begin_ns_(MonotonicNs()),
      begin_delays_ns_(RunDelaysNs()),
      begin_steal_ticks_(StealTicks()),
      begin_throttling_(ReadThrottling(files_)) {}

CpuContention ContentionMeter::Stop() const {
  CpuContention contention;
  const auto elapsed_ns = static_cast<double>(std::max<int64_t>(1, MonotonicNs() - begin_ns_));
  for (const auto& [thread, delay_ns] : RunDelaysNs()) {
    const auto begin = begin_delays_ns_.find(thread);
    if (begin == begin_delays_ns_.end()) continue;  // it began later, so it is no rank's
    const double share = static_cast<double>(delay_ns - begin->second) / elapsed_ns;
    contention.run_delay_share = std::max(contention.run_delay_share.value_or(0), share);
  }
  // One tick may have been stolen before the start; two were not.
  const int64_t steal_ticks = StealTicks() - begin_steal_ticks_;
  if (steal_ticks > 1 && !cpus_.empty()) {
    const double steal_ns =
        static_cast<double>(steal_ticks) * 1e9 / static_cast<double>(sysconf(_SC_CLK_TCK));
    contention.steal_share = steal_ns / elapsed_ns / static_cast<double>(cpus_.size());
  }
  const Throttling throttling = ReadThrottling(files_);
  contention.num_throttled_periods = throttling.num_periods - begin_throttling_.num_periods;
  contention.throttled_s =
      static_cast<double>(throttling.throttled_ns - begin_throttling_.throttled_ns) * 1e-9;
  return contention;
}

std::map<std::string, int64_t> ContentionMeter::RunDelaysNs() const {
  std::map<std::string, int64_t> delays_ns;
  std::error_code ignored;
  for (const auto& entry :
       std::filesystem::directory_iterator(files_.proc + "/self/task", ignored)) {
    // "running waiting timeslices", the times in nanoseconds.
    int64_t running_ns = 0, waiting_ns = 0;
    if (std::ifstream(entry.path() / "schedstat") >> running_ns >> waiting_ns) {
      delays_ns[entry.path().filename()] = waiting_ns;
    }
  }
  return delays_ns;
}

int64_t ContentionMeter::StealTicks() const {
  int64_t ticks = 0;
  std::ifstream in(files_.proc + "/stat");
  for (std::string line; std::getline(in, line);) {
    for (const int cpu : cpus_) ticks += StealOf(line, "cpu" + std::to_string(cpu));
  }
  return ticks;
}

}  // namespace sluice
