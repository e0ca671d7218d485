#include "parallel/exec/arena.h"

#include <gtest/gtest.h>

#include "core/base/rng.h"

namespace sluice {
namespace {

TEST(Arena, SharesAddressesOfBlocksThatDoNotMeet) {
  const ArenaPlan plan = PlanArena({{256, 0, 1}, {256, 2, 3}, {512, 1, 2}});
  EXPECT_EQ(plan.offsets, (std::vector<int64_t>{0, 0, 256}));
  EXPECT_EQ(plan.size_bytes, 768);
}

TEST(Arena, NeverOverlapsLivingBlocks) {
  const RandomStream random(1, "lifetimes");
  std::vector<Lifetime> blocks;
  for (uint64_t i = 0; i < 300; ++i) {
    const auto draw = [&](uint64_t k, int64_t most) {
      return static_cast<int64_t>((random.Uniform(4 * i + k) + 1) / 2 * static_cast<double>(most));
    };
    const int64_t begin = draw(0, 100);
    blocks.push_back({draw(1, 5000), begin, begin + draw(2, 20)});
  }
  const ArenaPlan plan = PlanArena(blocks);
  for (size_t a = 0; a < blocks.size(); ++a) {
    EXPECT_LE(plan.offsets[a] + blocks[a].size_bytes, plan.size_bytes);
    for (size_t b = 0; b < a; ++b) {
      const bool meet = blocks[a].begin <= blocks[b].end && blocks[b].begin <= blocks[a].end;
      const bool overlap = plan.offsets[a] < plan.offsets[b] + blocks[b].size_bytes &&
                           plan.offsets[b] < plan.offsets[a] + blocks[a].size_bytes;
      EXPECT_FALSE(meet && overlap) << a << " and " << b;
    }
  }
}

// The memory of 1F1B: as many equal blocks as there are micro-batches in flight.
TEST(Arena, NeedsNoMoreThanTheMostThatLives) {
  std::vector<Lifetime> blocks;
  for (int64_t i = 0; i < 20; ++i) blocks.push_back({1024, 2 * i, 2 * i + 7});
  EXPECT_EQ(PlanArena(blocks).size_bytes, 4 * 1024);
}

}  // namespace
}  // namespace sluice
