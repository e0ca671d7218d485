#include "parallel/exec/arena.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "core/base/check.h"
#include "core/base/checked_math.h"

namespace sluice {
namespace {

constexpr int64_t kAlignment = 256;

}  // namespace

int64_t AlignUp(int64_t size_bytes) { return RoundUp(size_bytes, kAlignment); }

ArenaPlan PlanArena(const std::vector<Lifetime>& blocks) {
  std::vector<size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return blocks[a].begin < blocks[b].begin; });

  ArenaPlan plan;
  plan.offsets.resize(blocks.size());
  std::map<int64_t, size_t> living;  // by offset
  for (const size_t index : order) {
    const Lifetime& block = blocks[index];
    SLUICE_CHECK_LE(block.begin, block.end);
    std::erase_if(living,
                  [&](const auto& entry) { return blocks[entry.second].end < block.begin; });
    int64_t offset = 0;
    for (const auto& [other_offset, other] : living) {
      if (offset + block.size_bytes <= other_offset) break;
      offset = AlignUp(other_offset + blocks[other].size_bytes);
    }
    plan.offsets[index] = offset;
    if (block.size_bytes > 0) living[offset] = index;
    plan.size_bytes = std::max(plan.size_bytes, AlignUp(offset + block.size_bytes));
  }
  return plan;
}

}  // namespace sluice
