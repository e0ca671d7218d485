#include "parallel/comm/nccl/gpu_sharing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "core/base/error.h"

namespace sluice {
namespace {

using Variables = std::map<std::string, std::string>;

Variables Of(const SharingRank& rank) {
  Variables variables;
  for (const EnvironmentVariable& variable : SharingEnvironment(rank)) {
    variables[variable.name] = variable.value;
  }
  return variables;
}

TEST(NcclVersionText, ReadsBothFormsOfTheNumber) {
  EXPECT_EQ(NcclVersionText(2408), "2.4.8");
  EXPECT_EQ(NcclVersionText(2804), "2.8.4");
  EXPECT_EQ(NcclVersionText(20908), "2.9.8");
  EXPECT_EQ(NcclVersionText(22809), "2.28.9");
  EXPECT_EQ(NcclVersionText(23003), "2.30.3");
}

TEST(SharingEnvironment, MakesEachRankAHostOfItsOwnUntil229) {
  for (const int version : {2500, 2804, 20908, 22809, 22999}) {
    EXPECT_EQ(Of({.nccl_version = version, .rank = 3}), (Variables{{"NCCL_HOSTID", "sluice-rank-3"},
                                                                   {"NCCL_NET", "Socket"},
                                                                   {"NCCL_IB_DISABLE", "1"},
                                                                   {"NCCL_SOCKET_IFNAME", "=lo"},
                                                                   {"NCCL_NVLS_ENABLE", "0"},
                                                                   {"NCCL_RAS_ENABLE", "0"}}))
        << version;
  }
}

TEST(SharingEnvironment, LeavesTheInterfaceBetweenHostsToNccl) {
  EXPECT_FALSE(Of({.nccl_version = 22809, .num_hosts = 2}).contains("NCCL_SOCKET_IFNAME"));
}

TEST(SharingEnvironment, UsesTheVariableOfNccl230) {
  for (const int version : {23000, 23203, 24001}) {
    EXPECT_EQ(Of({.nccl_version = version, .rank = 3}),
              (Variables{{"NCCL_MULTI_RANK_GPU_ENABLE", "1"},
                         {"NCCL_NVLS_ENABLE", "0"},
                         {"NCCL_RAS_ENABLE", "0"}}))
        << version;
  }
}

TEST(SharingEnvironment, NamesVersionAndVariablesWhereNcclIsTooOld) {
  try {
    SharingEnvironment({.nccl_version = 2408});
    ADD_FAILURE() << "not refused";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                testing::AllOf(testing::HasSubstr("NCCL 2.4.8"), testing::HasSubstr("NCCL_HOSTID"),
                               testing::HasSubstr("NCCL_MULTI_RANK_GPU_ENABLE")));
  }
}

}  // namespace
}  // namespace sluice
