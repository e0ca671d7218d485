#include "bench/harness/rank_cores.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice {
namespace {

RankCores Rank(uint64_t host, uint64_t cpus, int64_t num_threads) {
  RankCores rank = {.host = host, .num_threads = num_threads};
  rank.cpus[0] = cpus;
  return rank;
}

RankCores InGroup(RankCores rank, uint64_t group, int64_t quota_millicpus) {
  rank.quota_group = group;
  rank.quota_millicpus = quota_millicpus;
  return rank;
}

double CoresShortOf(const std::vector<RankCores>& ranks) {
  const std::optional<CoreShortage> shortage = FindCoreShortage(ranks);
  return shortage ? shortage->num_cores : 0;
}

TEST(FindCoreShortage, IsNoneWhereEachThreadHasACore) {
  EXPECT_EQ(CoresShortOf({Rank(1, 0b11, 1), Rank(1, 0b11, 1)}), 0);
  EXPECT_EQ(CoresShortOf({Rank(1, 0b01, 1), Rank(1, 0b10, 1)}), 0);  // bound to a core each
  EXPECT_EQ(CoresShortOf({Rank(1, 0b11, 2), Rank(2, 0b11, 2)}), 0);  // of two hosts
}

TEST(FindCoreShortage, CountsThreadsOfAllRanksOfAHost) {
  const std::vector<RankCores> ranks(8, Rank(1, 0b11, 1));
  const std::optional<CoreShortage> shortage = FindCoreShortage(ranks);
  ASSERT_TRUE(shortage.has_value());
  EXPECT_EQ(shortage->num_threads, 8);
  EXPECT_EQ(shortage->num_cores, 2);
  EXPECT_EQ(CoresShortOf({Rank(1, 0b11, 1), Rank(1, 0b11, 2)}), 2);
  EXPECT_EQ(CoresShortOf({Rank(1, 0b01, 1), Rank(1, 0b01, 1)}), 1);  // bound to the same core
}

TEST(FindCoreShortage, NamesThePlaceThatIsShortOfTheMost) {
  EXPECT_EQ(CoresShortOf({Rank(1, 0b11, 3), Rank(2, 0b01, 4), Rank(3, 0b11, 2)}), 1);
}

TEST(FindCoreShortage, CountsTheQuotaOfEachGroup) {
  const RankCores half = InGroup(Rank(1, 0b11, 1), 5, 500);
  EXPECT_EQ(CoresShortOf({half}), 0.5);
  const RankCores one = InGroup(Rank(1, 0b11, 1), 5, 1000);
  EXPECT_EQ(CoresShortOf({one}), 0);
  EXPECT_EQ(CoresShortOf({one, one}), 1);
  EXPECT_EQ(CoresShortOf({one, InGroup(Rank(1, 0b11, 1), 6, 1000)}), 0);
}

TEST(OwnCores, AreThoseOfThisProcess) {
  const RankCores own = OwnCores(1);
  EXPECT_NE(own.host, RankCores().host);
  EXPECT_EQ(OwnCores(1).host, own.host);
  EXPECT_NE(own.cpus, RankCores().cpus);
}

}  // namespace
}  // namespace sluice
