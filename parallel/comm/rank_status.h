// What one rank is doing, readable at any time by whoever must name a faulty rank: another thread,
// or another process through shared memory.
//
// The rank writes, all others read.  Every field is an atomic of its own, so a reader may see a mix
// of two moments; that is good enough for a message and costs the rank a few plain stores.  The
// all-zero pattern is a valid status, so fresh shared memory needs no constructor.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

enum class CommOp : uint8_t {
  kNone,
  kSend,
  kRecv,
  kTransfer,  // several sends and receives started together
  kAllReduce,
  kAllGather,
  kReduceScatter,
  kBroadcast,
  kBarrier,
  kSplit,
  kConnect,  // making a connection between devices, or ending it
  kDrain,    // all that was enqueued on the device
};

// "Send", "Recv", ...
std::string_view Name(CommOp op);

// One call as messages show it: "Recv of 4 KiB from rank 2".  No peer for a collective.
struct CommCall {
  CommOp op = CommOp::kNone;
  int peer = -1;
  int64_t size_bytes = 0;
};

std::string Describe(const CommCall& call);

// Where a rank stands in its schedule, as the executor says it.
struct SchedulePosition {
  int64_t step = -1;
  int64_t op_index = -1;
  // The schedule's own text of the op, "Forward(stage=1, micro_batch=0, slice=3)"; at most 63 bytes
  // are kept.
  std::string_view label;
};

enum class RankPhase : uint8_t { kNotStarted, kRunning, kFinished, kFailed };

class RankStatus {
 public:
  RankStatus() = default;
  RankStatus(const RankStatus&) = delete;
  RankStatus& operator=(const RankStatus&) = delete;

  // Called by the rank. Nothing here allocates.
  void SetPhase(RankPhase phase) { phase_.store(phase, std::memory_order_release); }
  void SetPosition(const SchedulePosition& position);
  void BeginWait(const CommCall& call);
  // Within a wait: another rank is waited for now.
  void SetWaitPeer(int peer) { waiting_.peer.store(peer, std::memory_order_relaxed); }
  // Within a wait: what is waited for is known better now.
  void RefineWait(const CommCall& call) { waiting_.Store(call); }
  void EndWait();
  // Within a wait that polls: this rank still runs, at `now_ns`.
  void Beat(int64_t now_ns) { beat_ns_.store(now_ns, std::memory_order_relaxed); }

  RankPhase phase() const { return phase_.load(std::memory_order_acquire); }
  // The step set last, 0 before any.
  int64_t step() const { return step_.load(std::memory_order_relaxed); }
  // CLOCK_MONOTONIC at the start of the wait this rank is in, or 0.
  int64_t wait_begin_ns() const { return wait_begin_ns_.load(std::memory_order_acquire); }
  // CLOCK_MONOTONIC at the last beat, or where the wait began.
  int64_t beat_ns() const { return std::max(wait_begin_ns(), beat_ns_.load()); }
  // The rank waited for, of all ranks; -1 when all of a group are waited for, or none.
  int wait_peer() const { return waiting_.peer.load(std::memory_order_relaxed); }
  CommCall waiting() const { return waiting_.Load(); }

  // "at step 3, op 17 Forward(stage=1, micro_batch=0, slice=3)", "before the first step".
  std::string DescribePosition() const;
  // "waits in Recv of 4 KiB from rank 2 at step 3, ..." or "is in no communication call ...; last
  // completed: ...".
  std::string DescribeActivity() const;

 private:
  struct AtomicCall {
    std::atomic<CommOp> op;
    std::atomic<int> peer;
    std::atomic<int64_t> size_bytes;

    void Store(const CommCall& call);
    CommCall Load() const;
  };

  std::atomic<RankPhase> phase_{RankPhase::kNotStarted};
  std::atomic<bool> has_position_{false};
  std::atomic<int64_t> step_{0};
  std::atomic<int64_t> op_index_{0};
  std::array<std::atomic<uint64_t>, 8> label_{};
  AtomicCall waiting_{};
  std::atomic<int64_t> wait_begin_ns_{0};
  std::atomic<int64_t> beat_ns_{0};
  AtomicCall completed_{};
  std::atomic<int64_t> completed_step_{0};
};

// CLOCK_MONOTONIC, the same for all processes of a host.
int64_t MonotonicNs();

}  // namespace sluice
