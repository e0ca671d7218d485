#include "parallel/comm/rank_status.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/base/checked_math.h"

namespace sluice {
namespace {

bool MovesBytes(CommOp op) {
  return op != CommOp::kBarrier && op != CommOp::kSplit && op != CommOp::kConnect &&
         op != CommOp::kDrain;
}

}  // namespace

std::string_view Name(CommOp op) {
  switch (op) {
    case CommOp::kNone:
      return "nothing";
    case CommOp::kSend:
      return "Send";
    case CommOp::kRecv:
      return "Recv";
    case CommOp::kTransfer:
      return "Transfer";
    case CommOp::kAllReduce:
      return "AllReduce";
    case CommOp::kAllGather:
      return "AllGather";
    case CommOp::kReduceScatter:
      return "ReduceScatter";
    case CommOp::kBroadcast:
      return "Broadcast";
    case CommOp::kBarrier:
      return "Barrier";
    case CommOp::kSplit:
      return "Split";
    case CommOp::kConnect:
      return "Connect";
    case CommOp::kDrain:
      return "Drain";
  }
  return "?";
}

std::string Describe(const CommCall& call) {
  std::string text(Name(call.op));
  if (call.op == CommOp::kNone) return text;
  if (MovesBytes(call.op)) text += fmt::format(" of {}", FormatBytes(call.size_bytes));
  if (call.peer >= 0) {
    const std::string_view direction = call.op == CommOp::kSend   ? "to"
                                       : call.op == CommOp::kRecv ? "from"
                                                                  : "with";
    text += fmt::format(" {} rank {}", direction, call.peer);
  }
  return text;
}

void RankStatus::AtomicCall::Store(const CommCall& call) {
  op.store(call.op, std::memory_order_relaxed);
  peer.store(call.peer, std::memory_order_relaxed);
  size_bytes.store(call.size_bytes, std::memory_order_relaxed);
}

CommCall RankStatus::AtomicCall::Load() const {
  return {op.load(std::memory_order_relaxed), peer.load(std::memory_order_relaxed),
          size_bytes.load(std::memory_order_relaxed)};
}

void RankStatus::SetPosition(const SchedulePosition& position) {
  constexpr size_t kLabelBytes = sizeof(label_);
  char bytes[kLabelBytes] = {};
  std::memcpy(bytes, position.label.data(), std::min(position.label.size(), kLabelBytes - 1));
  for (size_t word = 0; word < label_.size(); ++word) {
    uint64_t value;
    std::memcpy(&value, bytes + word * sizeof(value), sizeof(value));
    label_[word].store(value, std::memory_order_relaxed);
  }
  step_.store(position.step, std::memory_order_relaxed);
  op_index_.store(position.op_index, std::memory_order_relaxed);
  has_position_.store(true, std::memory_order_release);
}

void RankStatus::BeginWait(const CommCall& call) {
  waiting_.Store(call);
  wait_begin_ns_.store(MonotonicNs(), std::memory_order_release);
}

void RankStatus::EndWait() {
  wait_begin_ns_.store(0, std::memory_order_release);
  completed_.Store(waiting_.Load());
  completed_step_.store(step_.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

std::string RankStatus::DescribePosition() const {
  if (!has_position_.load(std::memory_order_acquire)) return "before the first step";
  char bytes[sizeof(label_)];
  for (size_t word = 0; word < label_.size(); ++word) {
    const uint64_t value = label_[word].load(std::memory_order_relaxed);
    std::memcpy(bytes + word * sizeof(value), &value, sizeof(value));
  }
  bytes[sizeof(bytes) - 1] = '\0';
  std::string text = fmt::format("at step {}", step());
  const int64_t op_index = op_index_.load(std::memory_order_relaxed);
  if (op_index >= 0) text += fmt::format(", op {}", op_index);
  if (bytes[0] != '\0') text += fmt::format(" {}", bytes);
  return text;
}

std::string RankStatus::DescribeActivity() const {
  if (phase() == RankPhase::kNotStarted) return "has not started";
  if (phase() == RankPhase::kFinished) return "has left " + DescribePosition();
  if (wait_begin_ns() != 0) {
    return fmt::format("waits in {} {}", Describe(waiting()), DescribePosition());
  }
  const CommCall completed = completed_.Load();
  if (completed.op == CommOp::kNone) {
    return fmt::format("is in no communication call {}; it completed none yet", DescribePosition());
  }
  return fmt::format("is in no communication call {}; last completed: {} at step {}",
                     DescribePosition(), Describe(completed),
                     completed_step_.load(std::memory_order_relaxed));
}

int64_t MonotonicNs() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

}  // namespace sluice
