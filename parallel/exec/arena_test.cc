#include "parallel/exec/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/base/rng.h"

namespace sluice {
namespace {

TEST(Arena, SharesAddressesOfBlocksWithDisjointLifetimes) {
  const ArenaLayout layout = LayOutArena({{256, 0, 1}, {256, 2, 3}, {512, 1, 2}});
  EXPECT_EQ(layout.offsets, (std::vector<int64_t>{0, 0, 256}));
  EXPECT_EQ(layout.size_bytes, 768);
}

std::vector<Lifetime> DrawBlocks(uint64_t seed, uint64_t count) {
  const RandomStream random(seed, "lifetimes");
  std::vector<Lifetime> blocks;
  for (uint64_t i = 0; i < count; ++i) {
    const auto draw = [&](uint64_t k, int64_t most) {
      return static_cast<int64_t>((random.Uniform(4 * i + k) + 1) / 2 * static_cast<double>(most));
    };
    const int64_t begin = draw(0, 100);
    blocks.push_back({draw(1, 5000), begin, begin + draw(2, 20)});
  }
  return blocks;
}

// First fit by its definition: visits every living block for each new one.
std::vector<int64_t> FirstFit(const std::vector<Lifetime>& blocks) {
  std::vector<size_t> order(blocks.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return blocks[a].begin < blocks[b].begin; });
  std::vector<int64_t> offsets(blocks.size());
  std::map<int64_t, size_t> living;  // by offset
  for (const size_t index : order) {
    const Lifetime& block = blocks[index];
    std::erase_if(living,
                  [&](const auto& entry) { return blocks[entry.second].end < block.begin; });
    int64_t offset = 0;
    for (const auto& [other_offset, other] : living) {
      if (offset + block.size_bytes <= other_offset) break;
      offset = AlignUp(other_offset + blocks[other].size_bytes);
    }
    offsets[index] = offset;
    if (block.size_bytes > 0) living[offset] = index;
  }
  return offsets;
}

TEST(Arena, IsFirstFit) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::vector<Lifetime> blocks = DrawBlocks(seed, 300);
    EXPECT_EQ(LayOutArena(blocks).offsets, FirstFit(blocks)) << "seed " << seed;
  }
}

TEST(Arena, NeverOverlapsLivingBlocks) {
  const std::vector<Lifetime> blocks = DrawBlocks(1, 300);
  const ArenaLayout layout = LayOutArena(blocks);
  for (size_t a = 0; a < blocks.size(); ++a) {
    EXPECT_LE(layout.offsets[a] + blocks[a].size_bytes, layout.size_bytes);
    for (size_t b = 0; b < a; ++b) {
      const bool meet = blocks[a].begin <= blocks[b].end && blocks[b].begin <= blocks[a].end;
      const bool overlap = layout.offsets[a] < layout.offsets[b] + blocks[b].size_bytes &&
                           layout.offsets[b] < layout.offsets[a] + blocks[a].size_bytes;
      EXPECT_FALSE(meet && overlap) << a << " and " << b;
    }
  }
}

// 1F1B needs as many equal blocks as there are micro-batches in flight.
TEST(Arena, NeedsNoMoreThanTheMostThatLives) {
  std::vector<Lifetime> blocks;
  for (int64_t i = 0; i < 20; ++i) blocks.push_back({1024, 2 * i, 2 * i + 7});
  EXPECT_EQ(LayOutArena(blocks).size_bytes, 4 * 1024);
}

}  // namespace
}  // namespace sluice
