// One allocation for many blocks with known lifetimes: blocks that do not live at the same time
// share addresses.
#pragma once

#include <cstdint>
#include <vector>

namespace sluice {

// A block that is used by the ops begin .. end of a rank's list.
struct Lifetime {
  int64_t size_bytes = 0;
  int64_t begin = 0;
  int64_t end = 0;
};

struct ArenaLayout {
  std::vector<int64_t> offsets;  // of each block in bytes, multiples of 256
  int64_t size_bytes = 0;        // of the whole arena
};

// Places each block, in the order of their begins, at the lowest offset that no living block needs.
// The time is O(n log n) for n blocks.
ArenaLayout LayOutArena(const std::vector<Lifetime>& blocks);

// The next multiple of 256: where a tensor may start.
int64_t AlignUp(int64_t size_bytes);

}  // namespace sluice
