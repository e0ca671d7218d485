// One rank's view of a fixed group of ranks, and how bytes move between them.
//
//   Transfer incoming = comm.Irecv({x, count, DType::kFloat32}, {.rank = comm.rank() - 1});
//   ... compute ...
//   comm.Wait(incoming);                                   // x may be read now
//   comm.AllReduce({gradient, count, DType::kFloat32}, ReduceOp::kSum);
//
// One implementation per transport: threads of one process (thread/), processes of any number of
// hosts (mpi/), GPUs (nccl/).  Each passes the same conformance suite (conformance/).
//
// Completion. On the CPU a call has done its work when it returns; a transfer is complete when Wait
// has returned.  On a device, a communicator is made for one compute stream: calls are ordered
// after the work already on that stream, and Wait and the collectives order what is put on it
// afterwards; the host need not wait before Drain.  Code written for the second is right for both.
//
// Order. All ranks of a group issue the same collectives in the same order.  Sends and receives
// between a pair of a group match in the order in which they were started, whatever tag or type. A
// send may wait for its receive, so correct code never depends on a send completing first.  A
// transfer's memory is left alone until Wait, and outlives it.
//
// Agreement. Ranks compare count, type, tag, op and root of every message and collective.  Where
// they differ, every rank ends with a message that names both ranks and both values; no wrong
// number is returned.
//
// Faults. Every wait has a deadline (CommOptions).  When it passes, or a peer is gone, calls throw
// CommError; the first message names the faulty rank, the op, its position in the schedule, peer
// and bytes.  After a CommError the group is of no more use.
//
// Sums are made in rank order, 0 + 1 + 2 + ..., in the element's own type on the CPU: the same bits
// on all ranks, in every run, on every CPU implementation.  GPUs add in an order of their own.
//
// Not thread-safe: one thread at a time.  After a warm-up, a step of the same transfers allocates
// nothing.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "core/tensor/dtype.h"
#include "core/tensor/tensor.h"
#include "parallel/comm/rank_status.h"

namespace sluice {

// What the elements of a message are: those of tensors, and two for control.
enum class ControlType : uint8_t { kInt64, kByte };

class ElementType {
 public:
  enum class Kind : uint8_t { kFloat64, kFloat32, kBFloat16, kFloat16, kInt64, kByte };

  constexpr ElementType(DType dtype) : kind_(FromDType(dtype)) {}
  constexpr ElementType(ControlType control)
      : kind_(control == ControlType::kInt64 ? Kind::kInt64 : Kind::kByte) {}
  constexpr explicit ElementType(Kind kind) : kind_(kind) {}

  constexpr Kind kind() const { return kind_; }
  constexpr bool operator==(const ElementType&) const = default;
  int64_t size_bytes() const;
  // "f64", "f32", "bf16", "fp16", "int64", "byte".
  std::string_view name() const;

 private:
  static constexpr Kind FromDType(DType dtype) {
    switch (dtype) {
      case DType::kFloat64:
        return Kind::kFloat64;
      case DType::kFloat32:
        return Kind::kFloat32;
      case DType::kBFloat16:
        return Kind::kBFloat16;
      case DType::kFloat16:
        return Kind::kFloat16;
    }
    return Kind::kByte;
  }

  Kind kind_;
};

// `count` elements in memory of the communicator's device, to read.
struct ConstPayload {
  const void* data = nullptr;
  int64_t count = 0;
  ElementType type = ControlType::kByte;

  int64_t size_bytes() const { return count * type.size_bytes(); }
};

// The same, to overwrite.
struct Payload {
  void* data = nullptr;
  int64_t count = 0;
  ElementType type = ControlType::kByte;

  int64_t size_bytes() const { return count * type.size_bytes(); }
  operator ConstPayload() const { return {data, count, type}; }
};

// All elements of a tensor.
inline Payload PayloadOf(const Tensor& tensor) {
  return {tensor.data(), tensor.num_elements(), tensor.dtype()};
}

inline constexpr int kMaxTag = (1 << 24) - 1;

// The other end of a message.
struct Peer {
  // In this group.
  int rank = 0;
  // 0 .. kMaxTag.  Compared on both sides, never used to match: give each message its identity
  // (stage, micro-batch, slice), and two swapped messages are an error and not a wrong gradient.
  int tag = 0;
};

enum class Direction : uint8_t { kSend, kRecv };

// One send or receive of a group that starts together.
struct Message {
  Direction direction = Direction::kSend;
  // Read by a send, overwritten by a receive.
  Payload payload;
  Peer peer;
};

Message SendMessage(ConstPayload payload, Peer peer);
Message RecvMessage(Payload payload, Peer peer);

enum class ReduceOp : uint8_t { kSum, kMax };

std::string_view Name(ReduceOp op);

// What was started and must be waited for, once.
struct Transfer {
  int64_t id = -1;
};

// When a send is complete.
enum class SendMode : uint8_t {
  // When its receive has taken it, as on GPUs: code that depends on less is wrong.
  kRendezvous,
  // At once where the transport can: the message is copied aside when its receive is not there yet.
  kBuffered,
};

struct CommOptions {
  // Longest time that one wait may take.
  double timeout_s = 300;
  SendMode send_mode = SendMode::kRendezvous;
};

// Members of one color form a group, ordered by key, then by rank in the group that is split.
struct SplitKey {
  int color;
  int key;
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }
  int world_size() const { return world_size_; }

  // The rank in the group of all ranks of member `rank` of this group.  Messages for people name
  // ranks so.
  virtual int GlobalRank(int rank) const = 0;

  // The same group with the same ranks, for host memory; itself on the CPU.
  virtual Communicator& host() { return *this; }

  // Whether calls enqueue work that a graph of the compute stream can hold.  What is captured must
  // have been called before, on all ranks, so that connections exist and ranks have agreed.
  bool can_capture() { return &host() != this; }

  // Makes this rank able to send to `receivers`, besides those it could send to already.  All ranks
  // of the group call it, each with its own list, before the first message.  A device allocates
  // here; the CPU has nothing to do.
  virtual void Connect(std::span<const int> receivers);

  // Starts all messages so that none waits for another of the same call, and returns without
  // waiting for any peer. `messages` is copied.
  virtual Transfer Start(std::span<const Message> messages) = 0;

  // Completes a transfer.
  virtual void Wait(Transfer transfer) = 0;

  Transfer Isend(ConstPayload payload, Peer peer);
  Transfer Irecv(Payload payload, Peer peer);
  void Send(ConstPayload payload, Peer peer) { Wait(Isend(payload, peer)); }
  void Recv(Payload payload, Peer peer) { Wait(Irecv(payload, peer)); }

  // data  overwritten with the reduction over all ranks, in place.
  //
  // On the CPU bf16 and fp16 cannot be reduced: Error.  The maximum with a NaN is NaN on the CPU;
  // a GPU may drop the NaN.
  virtual void AllReduce(Payload data, ReduceOp op) = 0;

  // shard     [count]              read; may be its own place in `gathered`
  // gathered  [world_size, count]  overwritten, by rank
  virtual void AllGather(ConstPayload shard, void* gathered) = 0;

  // input  [world_size, count]  read
  // shard  [count]              overwritten with the reduction of everyone's row `rank()`; may be
  //                             that row of `input`
  virtual void ReduceScatter(const void* input, Payload shard, ReduceOp op) = 0;

  // data  read on `root`, overwritten elsewhere.
  virtual void Broadcast(Payload data, int root) = 0;

  // Returns when all ranks have come here: on a device too the host waits, for hosts only.
  virtual void Barrier() = 0;

  // Makes the sub-group of this rank's color.  All ranks of this group call it.  The parent must
  // outlive it.
  virtual std::unique_ptr<Communicator> Split(SplitKey key) = 0;

  // Ends a step: the host waits until all that this rank issued is complete.  Every transfer must
  // have been given to Wait before.
  virtual void Drain() = 0;

  // Says where in the schedule this rank stands, for messages; copied.  The position is the rank's,
  // not the group's: any of its communicators will do.
  void SetPosition(const SchedulePosition& position) { status_->SetPosition(position); }

  // The three that follow are for a communicator that stands on this one, as that of GPUs does.

  // Waits by polling until done() is true, as Wait does: with the deadline, noticing the faults of
  // other ranks, and naming the rank at fault.  `call` says what is waited for; its peer is a rank
  // of all, this rank itself for its own device, or -1 where none is known.  `done` may say more as
  // it learns it (RankStatus::RefineWait).
  virtual void WaitUntil(const CommCall& call, const std::function<bool()>& done) = 0;

  // Tells of a fault of this rank that cannot be thrown, because what would be destroyed on the way
  // may hang.  Ends the process, at once or, where ranks are threads, when the others have ended.
  virtual void ReportFault(std::exception_ptr fault) = 0;

  RankStatus& status() { return *status_; }

 protected:
  Communicator(int rank, int world_size, RankStatus* status)
      : rank_(rank), world_size_(world_size), status_(status) {}

 private:
  int rank_;
  int world_size_;
  RankStatus* status_;
};

}  // namespace sluice
