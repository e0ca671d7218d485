#include "parallel/exec/arena.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <utility>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "parallel/exec/address_gaps.h"

namespace sluice {
namespace {

constexpr int64_t kAlignment = 256;

}  // namespace

int64_t AlignUp(int64_t size_bytes) { return RoundUp(size_bytes, kAlignment); }

ArenaLayout LayOutArena(const std::vector<Lifetime>& blocks) {
  std::vector<size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return blocks[a].begin < blocks[b].begin; });

  ArenaLayout layout;
  layout.offsets.resize(blocks.size());
  AddressGaps gaps;
  using EndOfBlock = std::pair<int64_t, size_t>;
  std::priority_queue<EndOfBlock, std::vector<EndOfBlock>, std::greater<>> living;
  for (const size_t index : order) {
    const Lifetime& block = blocks[index];
    SLUICE_CHECK_LE(block.begin, block.end);
    if (block.size_bytes == 0) continue;
    for (; !living.empty() && living.top().first < block.begin; living.pop()) {
      const size_t ended = living.top().second;
      gaps.Give(layout.offsets[ended], AlignUp(blocks[ended].size_bytes));
    }
    const int64_t size_bytes = AlignUp(block.size_bytes);
    layout.offsets[index] = gaps.Take(size_bytes);
    living.emplace(block.end, index);
    layout.size_bytes = std::max(layout.size_bytes, layout.offsets[index] + size_bytes);
  }
  return layout;
}

}  // namespace sluice
