#include "parallel/schemes/scheme.h"

#include <queue>

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

std::vector<Op> SplitBackwards(const std::vector<Op>& ops, int num_deferred) {
  std::vector<Op> split;
  std::queue<Unit> weights;
  const auto append_oldest_weight = [&] {
    split.push_back({OpKind::kBackwardWeight, weights.front()});
    weights.pop();
  };
  for (const Op& op : ops) {
    if (op.kind != OpKind::kBackward) {
      split.push_back(op);
      continue;
    }
    split.push_back({OpKind::kBackwardInput, op.unit});
    weights.push(op.unit);
    if (static_cast<int>(weights.size()) > num_deferred) append_oldest_weight();
  }
  while (!weights.empty()) append_oldest_weight();
  return split;
}

}  // namespace sluice
