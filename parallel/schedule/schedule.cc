#include "parallel/schedule/schedule.h"

#include <vector>

#include "core/base/check.h"

namespace sluice {
namespace {

// Returns `op`, a send or receive, if its peer stage exists and is on another rank.
std::optional<Op> IfItCrossesRanks(const Schedule& schedule, Op op) {
  const int peer_stage = PeerStage(op);
  if (peer_stage < 0 || peer_stage >= schedule.num_stages ||
      schedule.rank_of_stage[peer_stage] == schedule.rank_of_stage[op.unit.stage]) {
    return std::nullopt;
  }
  return op;
}

}  // namespace

int UnitIndex(const Schedule& schedule, const Unit& unit) {
  return (unit.stage * schedule.num_micro_batches + unit.micro_batch) * schedule.num_slices +
         unit.slice;
}

int NumUnits(const Schedule& schedule) {
  return schedule.num_stages * schedule.num_micro_batches * schedule.num_slices;
}

uint64_t HashOf(const Schedule& schedule) {
  uint64_t hash = 0;
  const auto add = [&](int number) {  // the steps of splitmix64
    hash = (hash ^ static_cast<uint32_t>(number)) + 0x9e3779b97f4a7c15;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
    hash ^= hash >> 31;
  };
  for (const int number : {schedule.num_stages, schedule.num_ranks, schedule.num_micro_batches,
                           schedule.num_slices, static_cast<int>(schedule.pass)}) {
    add(number);
  }
  for (const int rank : schedule.rank_of_stage) add(rank);
  for (const std::vector<Op>& ops : schedule.ops_of_rank) {
    add(static_cast<int>(ops.size()));
    for (const Op& op : ops) {
      add(static_cast<int>(op.kind));
      add(op.unit.stage);
      add(op.unit.micro_batch);
      add(op.unit.slice);
    }
  }
  return hash;
}

Schedule ForwardOf(Schedule schedule) {
  schedule.pass = Pass::kForward;
  for (std::vector<Op>& ops : schedule.ops_of_rank) {
    std::erase_if(ops, [](const Op& op) { return !IsOfForward(op.kind); });
  }
  return schedule;
}

bool IsSend(OpKind kind) {
  return kind == OpKind::kSendActivation || kind == OpKind::kSendGradient;
}

bool IsRecv(OpKind kind) {
  return kind == OpKind::kRecvActivation || kind == OpKind::kRecvGradient;
}

bool IsCompute(OpKind kind) { return !IsSend(kind) && !IsRecv(kind); }

bool IsOfForward(OpKind kind) {
  return kind == OpKind::kForward || kind == OpKind::kSendActivation ||
         kind == OpKind::kRecvActivation;
}

bool MakesInputGradient(OpKind kind) {
  return kind == OpKind::kBackward || kind == OpKind::kBackwardInput;
}

int PeerStage(const Op& op) {
  SLUICE_CHECK(!IsCompute(op.kind));
  const bool is_next = op.kind == OpKind::kSendActivation || op.kind == OpKind::kRecvGradient;
  return op.unit.stage + (is_next ? 1 : -1);
}

int PeerRank(const Schedule& schedule, const Op& op) {
  const int peer_stage = PeerStage(op);
  SLUICE_CHECK_GE(peer_stage, 0);
  SLUICE_CHECK_LT(peer_stage, schedule.num_stages);
  return schedule.rank_of_stage[peer_stage];
}

Op Counterpart(const Op& op) {
  Op other = op;
  other.unit.stage = PeerStage(op);
  switch (op.kind) {
    case OpKind::kSendActivation:
      other.kind = OpKind::kRecvActivation;
      break;
    case OpKind::kRecvActivation:
      other.kind = OpKind::kSendActivation;
      break;
    case OpKind::kSendGradient:
      other.kind = OpKind::kRecvGradient;
      break;
    default:
      other.kind = OpKind::kSendGradient;
      break;
  }
  return other;
}

std::optional<Op> InputOf(const Schedule& schedule, const Op& compute) {
  SLUICE_CHECK(IsCompute(compute.kind));
  if (compute.kind == OpKind::kBackwardWeight) return std::nullopt;
  const bool is_forward = compute.kind == OpKind::kForward;
  return IfItCrossesRanks(
      schedule, {is_forward ? OpKind::kRecvActivation : OpKind::kRecvGradient, compute.unit});
}

std::optional<Op> OutputOf(const Schedule& schedule, const Op& compute) {
  SLUICE_CHECK(IsCompute(compute.kind));
  if (compute.kind == OpKind::kBackwardWeight) return std::nullopt;
  const bool is_forward = compute.kind == OpKind::kForward;
  return IfItCrossesRanks(
      schedule, {is_forward ? OpKind::kSendActivation : OpKind::kSendGradient, compute.unit});
}

}  // namespace sluice
