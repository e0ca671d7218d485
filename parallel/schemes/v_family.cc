#include <algorithm>
#include <array>
#include <utility>

#include "core/base/check.h"
#include "parallel/schemes/scheme.h"

namespace sluice {
namespace {

// Micro-batches of a V schedule follow each other every 6 slots, which is what a rank has to do for
// each: forward, input gradient and weight gradient of two chunks.
constexpr int kPeriod = 6;

// The slots of micro-batch 0's first four ops on one rank.
struct Block {
  int forward_0 = 0, forward_1 = 0, input_1 = 0, input_0 = 0;
};

// Slots that a micro-batch waits at the turning points of the V: before chunk 1's forwards, before
// its backwards, and before chunk 0's backwards.
struct Turns {
  int forward_1 = 1, input_1 = 1, input_0 = 1;
};

// On the way down the V, from rank 0 to the last, a micro-batch takes `stagger` slots a rank, on
// the way back one.
Block BlockOf(int num_ranks, int rank, int stagger, const Turns& turns) {
  const int num_ranks_after = num_ranks - 1 - rank;
  const int last = num_ranks - 1;
  const int forward_1_of_last = stagger * last + turns.forward_1;
  const int input_1_of_first = forward_1_of_last + last + turns.input_1;
  const int input_0_of_last = input_1_of_first + stagger * last + turns.input_0;
  return {.forward_0 = stagger * rank,
          .forward_1 = forward_1_of_last + num_ranks_after,
          .input_1 = input_1_of_first + stagger * rank,
          .input_0 = input_0_of_last + num_ranks_after};
}

// Whether no two ops of the rank want the same slot of a period.
bool IsFree(const Block& block) {
  std::array<int, 4> slots = {block.forward_0 % kPeriod, block.forward_1 % kPeriod,
                              block.input_1 % kPeriod, block.input_0 % kPeriod};
  std::ranges::sort(slots);
  return std::ranges::adjacent_find(slots) == slots.end();
}

// The shortest waits at the turning points with which no rank has two ops in one slot.
Turns FindTurns(int num_ranks, int stagger) {
  for (int i = 0; i < kPeriod * kPeriod * kPeriod; ++i) {
    const Turns turns = {1 + i / (kPeriod * kPeriod), 1 + i / kPeriod % kPeriod, 1 + i % kPeriod};
    bool is_free = true;
    for (int rank = 0; rank < num_ranks; ++rank) {
      is_free = is_free && IsFree(BlockOf(num_ranks, rank, stagger, turns));
    }
    if (is_free) return turns;
  }
  SLUICE_CHECK(false);  // there are some for the staggers 1 and 2 and any number of ranks
}

// The ops of a rank in the order of their slots; weight gradients are in the first slots that are
// free in every period.
std::vector<Op> BuildV(const ScheduleShape& shape, int rank, int stagger) {
  const Block block = BlockOf(shape.num_ranks, rank, stagger, FindTurns(shape.num_ranks, stagger));
  std::array<bool, kPeriod> is_taken = {};
  for (const int slot : {block.forward_0, block.forward_1, block.input_1, block.input_0}) {
    is_taken[slot % kPeriod] = true;
  }
  const auto first_free_after = [&](int slot) {
    while (is_taken[++slot % kPeriod]) continue;
    is_taken[slot % kPeriod] = true;
    return slot;
  };
  const int weight_1 = first_free_after(block.input_1);
  const int weight_0 = first_free_after(block.input_0);
  const int stage_0 = VStage(shape, {rank, 0}), stage_1 = VStage(shape, {rank, 1});

  std::vector<std::pair<int, Op>> ops;  // with their slots
  for (int i = 0; i < shape.num_micro_batches; ++i) {
    const auto add = [&](int slot, OpKind kind, int stage) {
      ops.push_back({slot + kPeriod * i, {kind, {stage, i}}});
    };
    add(block.forward_0, OpKind::kForward, stage_0);
    add(block.forward_1, OpKind::kForward, stage_1);
    add(block.input_1, OpKind::kBackwardInput, stage_1);
    add(weight_1, OpKind::kBackwardWeight, stage_1);
    add(block.input_0, OpKind::kBackwardInput, stage_0);
    add(weight_0, OpKind::kBackwardWeight, stage_0);
  }
  std::ranges::sort(ops, {}, [](const auto& op) { return op.first; });
  std::vector<Op> list;
  for (const auto& [slot, op] : ops) list.push_back(op);
  return list;
}

}  // namespace

// Two chunks per rank in a V, as in zero_bubble_v, with a shorter life of activations: the smaller
// the stagger, the fewer micro-batches are under way at once, and the more often a rank waits.
//
// Source: schedules V-Min and V-Half of Qi et al., "Pipeline parallelism with controllable memory",
// arXiv 2405.15362.
std::vector<Op> BuildVMin(const ScheduleShape& shape, int rank) { return BuildV(shape, rank, 1); }

std::vector<Op> BuildVHalf(const ScheduleShape& shape, int rank) { return BuildV(shape, rank, 2); }

}  // namespace sluice
