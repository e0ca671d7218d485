#include "parallel/comm/nccl/gpu_sharing.h"

#include <fmt/format.h>

#include "core/base/error.h"

namespace sluice {
namespace {

// Versions as ncclGetVersion returns them.
constexpr int kFirstWithHostId = 2500;
constexpr int kFirstWithMultiRank = 23000;
constexpr int kFirstWithFiveDigits = 10000;

}  // namespace

std::string NcclVersionText(int version) {
  const int major_unit = version < kFirstWithFiveDigits ? 1000 : 10000;
  return fmt::format("{}.{}.{}", version / major_unit, version % major_unit / 100, version % 100);
}

std::vector<EnvironmentVariable> SharingEnvironment(const SharingRank& rank) {
  if (rank.nccl_version < kFirstWithHostId) {
    throw Error(
        fmt::format("NCCL {} cannot place several ranks on one GPU: it reads neither NCCL_HOSTID, "
                    "which came with 2.5, nor NCCL_MULTI_RANK_GPU_ENABLE, which came with 2.30",
                    NcclVersionText(rank.nccl_version)));
  }
  // Multicast objects and the RAS threads are per GPU, not per rank.
  std::vector<EnvironmentVariable> variables = {{"NCCL_NVLS_ENABLE", "0"},
                                                {"NCCL_RAS_ENABLE", "0"}};
  if (rank.nccl_version >= kFirstWithMultiRank) {
    variables.push_back({"NCCL_MULTI_RANK_GPU_ENABLE", "1"});
    return variables;
  }
  variables.push_back({"NCCL_HOSTID", fmt::format("sluice-rank-{}", rank.rank)});
  variables.push_back({"NCCL_NET", "Socket"});
  variables.push_back({"NCCL_IB_DISABLE", "1"});
  if (rank.num_hosts == 1) variables.push_back({"NCCL_SOCKET_IFNAME", "=lo"});
  return variables;
}

}  // namespace sluice
