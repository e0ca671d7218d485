#include "bench/harness/rank_cores.h"

#include <bit>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "core/device/cpu/cpu_limits.h"

namespace sluice {
namespace {

constexpr int kWordBits = 64;

// Ranks that share cores: those of a host, or of a control group with a quota.
struct Sharers {
  std::array<uint64_t, 16> cpus = {};
  int64_t num_threads = 0;
  int64_t quota_millicpus = 0;

  double num_cores() const {
    int num_cpus = 0;
    for (const uint64_t word : cpus) num_cpus += std::popcount(word);
    const double quota = static_cast<double>(quota_millicpus) * 1e-3;
    return quota_millicpus > 0 && quota < num_cpus ? quota : num_cpus;
  }
};

void Add(const RankCores& rank, int64_t quota_millicpus, Sharers* sharers) {
  for (size_t i = 0; i < rank.cpus.size(); ++i) sharers->cpus[i] |= rank.cpus[i];
  sharers->num_threads += rank.num_threads;
  sharers->quota_millicpus = quota_millicpus;
}

}  // namespace

RankCores OwnCores(int num_threads, const SystemFiles& files) {
  std::string boot;
  std::ifstream(files.proc + "/sys/kernel/random/boot_id") >> boot;
  const CpuLimits limits = FindCpuLimits(files);
  RankCores own = {.host = std::hash<std::string>()(boot), .num_threads = num_threads};
  for (const int cpu : limits.cpus) {
    own.cpus.at(static_cast<size_t>(cpu / kWordBits)) |= uint64_t{1} << (cpu % kWordBits);
  }
  if (limits.quota_cpus) {
    own.quota_millicpus = static_cast<int64_t>(*limits.quota_cpus * 1e3);
    own.quota_group = QuotaGroupId(files);
  }
  return own;
}

std::optional<CoreShortage> FindCoreShortage(std::span<const RankCores> ranks) {
  std::map<std::pair<uint64_t, uint64_t>, Sharers> sharers;  // by host and group; 0: the whole host
  for (const RankCores& rank : ranks) {
    Add(rank, 0, &sharers[{rank.host, 0}]);
    if (rank.quota_millicpus == 0) continue;
    Add(rank, rank.quota_millicpus, &sharers[{rank.host, rank.quota_group}]);
  }
  std::optional<CoreShortage> worst;
  const auto threads_per_core = [](const CoreShortage& s) {
    return static_cast<double>(s.num_threads) / s.num_cores;
  };
  for (const auto& [place, of_place] : sharers) {
    const CoreShortage shortage = {of_place.num_threads, of_place.num_cores()};
    if (static_cast<double>(shortage.num_threads) <= shortage.num_cores) continue;
    if (!worst || threads_per_core(shortage) > threads_per_core(*worst)) worst = shortage;
  }
  return worst;
}

}  // namespace sluice
