// Determines whether the ranks of a job have a core for each of their threads. If they do not, an
// op's time includes ops of other ranks on the same core, so op times and everything computed from
// them say nothing about the schedule.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "core/device/cpu/control_groups.h"

namespace sluice {

// Where one rank runs. All members are 64-bit integers, so that ranks can exchange it as bytes.
struct RankCores {
  uint64_t host = 0;                   // equal for all processes of a host
  std::array<uint64_t, 16> cpus = {};  // one bit for each CPU of its affinity
  int64_t num_threads = 1;             // compute threads
  int64_t quota_millicpus = 0;         // 0: none
  uint64_t quota_group = 0;            // identifies the control group, whose ranks share the quota
};

// Returns the cores of the calling process, whose rank has `num_threads`.
RankCores OwnCores(int num_threads, const SystemFiles& files = {});

struct CoreShortage {
  int64_t num_threads = 0;
  double num_cores = 0;
};

// The largest shortage of any host or control group; absent if each thread has a core. `ranks` are
// all ranks of the job.
std::optional<CoreShortage> FindCoreShortage(std::span<const RankCores> ranks);

}  // namespace sluice
