// Several ranks on one GPU, to prove a job on fewer GPUs than it has ranks.
//
// NCCL refuses two ranks on one GPU of one host.  How it is told to accept them depends on its
// version: until 2.29 each rank passes for a host of its own, so all data takes the path between
// hosts; from 2.30 on there is a variable for it.  Each rank must be a process.
//
// Without MPS the GPU runs one process at a time and switches between them every 2.25 ms or so.
// Results are those of ranks with a GPU each; times are not.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice {

enum class GpuUse {
  kExclusive,  // a GPU for each rank
  kShared,     // at least one GPU has several ranks
};

// Stands beside every time of a run with kShared.
inline constexpr std::string_view kSharedGpuMark = "ranks share a GPU: not a measurement";

// The same as a part of a benchmark's name.
inline constexpr std::string_view kSharedGpuName = "/share_gpu:not_a_measurement";

// "2.28.9" of 22809, which ncclGetVersion returns; until 2.8 the number had four digits.
std::string NcclVersionText(int version);

struct SharingRank {
  int nccl_version = 0;
  int rank = 0;  // of all
  int num_hosts = 1;
};

struct EnvironmentVariable {
  std::string name;
  std::string value;
};

// What must be in the environment of a rank before its first call of NCCL.  Throws Error naming
// version and variables where NCCL is too old.
std::vector<EnvironmentVariable> SharingEnvironment(const SharingRank& rank);

}  // namespace sluice
