// Whether the ranks of a job have a core for each of their threads.  Where they do not, they take
// turns on the cores, and a rank's op lasts as long as those of the ranks that it shares a core
// with: the time of an op, and what is computed from it, then says nothing of the schedule.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "core/device/cpu/control_groups.h"

namespace sluice {

// Where one rank runs.  Of integers of 64 bits alone, so that ranks can send it to each other.
struct RankCores {
  uint64_t host = 0;                   // the same for all processes of one host
  std::array<uint64_t, 16> cpus = {};  // bits of the CPUs that its affinity allows
  int64_t num_threads = 1;             // that compute
  int64_t quota_millicpus = 0;         // 0: none
  uint64_t quota_group = 0;            // whose quota that is; ranks of one group share it
};

// Of the calling process.
RankCores OwnCores(int num_threads, const SystemFiles& files = {});

struct CoreShortage {
  int64_t num_threads = 0;
  double num_cores = 0;
};

// On the host, or in the control group, that is short of the most; absent where each thread has a
// core.  `ranks` are all ranks of the job.
std::optional<CoreShortage> FindCoreShortage(std::span<const RankCores> ranks);

}  // namespace sluice
