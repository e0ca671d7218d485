#include "parallel/schemes/v_list.h"

#include <algorithm>

#include "core/base/check.h"

namespace sluice {

VList::VList(const ScheduleShape& shape, int rank)
    : stages_{VStage(shape, {rank, 0}), VStage(shape, {rank, 1})},
      num_micro_batches_(shape.num_micro_batches) {}

void VList::Forward(int chunk) { Append(OpKind::kForward, chunk, num_forwards_); }

void VList::Backward(int chunk) { Append(OpKind::kBackward, chunk, num_backwards_); }

void VList::Input(int chunk) {
  if (Append(OpKind::kBackwardInput, chunk, num_backwards_)) {
    pending_weights_.push_back(ops_.back().unit);
  }
}

void VList::Weight(int chunk) {
  const auto unit = std::ranges::find(pending_weights_, stages_[chunk], &Unit::stage);
  if (unit == pending_weights_.end()) return;
  ops_.push_back({OpKind::kBackwardWeight, *unit});
  pending_weights_.erase(unit);
}

void VList::OldestWeight() {
  SLUICE_CHECK(!pending_weights_.empty());
  ops_.push_back({OpKind::kBackwardWeight, pending_weights_.front()});
  pending_weights_.pop_front();
}

void VList::RestOfWeights(int chunk) {
  const auto count = std::ranges::count(pending_weights_, stages_[chunk], &Unit::stage);
  for (int i = 0; i < count; ++i) Weight(chunk);
}

bool VList::Append(OpKind kind, int chunk, std::array<int, 2>& counts) {
  if (counts[chunk] == num_micro_batches_) return false;
  ops_.push_back({kind, {stages_[chunk], counts[chunk]++}});
  return true;
}

}  // namespace sluice
