#include "parallel/schemes/scheme.h"

namespace sluice {

int LoopStage(const ScheduleShape& shape, const ChunkOfRank& where) {
  return where.chunk * shape.num_ranks + where.rank;
}

int VStage(const ScheduleShape& shape, const ChunkOfRank& where) {
  return where.chunk == 0 ? where.rank : 2 * shape.num_ranks - 1 - where.rank;
}

std::vector<Op> OneForwardOneBackward(const std::vector<Unit>& forwards,
                                      const std::vector<Unit>& backwards, int num_warmup) {
  std::vector<Op> ops;
  auto forward = forwards.begin();
  for (; forward != forwards.end() && forward - forwards.begin() < num_warmup; ++forward) {
    ops.push_back({OpKind::kForward, *forward});
  }
  for (const Unit& backward : backwards) {
    if (forward != forwards.end()) ops.push_back({OpKind::kForward, *forward++});
    ops.push_back({OpKind::kBackward, backward});
  }
  for (; forward != forwards.end(); ++forward) ops.push_back({OpKind::kForward, *forward});
  return ops;
}

}  // namespace sluice
