// What the rank threads of one process share: who does what, the first fault, and how to wait.
#pragma once

#include <atomic>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/base/check.h"
#include "parallel/comm/collective.h"
#include "parallel/comm/comm_error.h"
#include "parallel/comm/communicator.h"
#include "parallel/comm/diagnosis.h"
#include "parallel/comm/request_pool.h"
#include "parallel/comm/thread/shared_copy.h"

namespace sluice::internal {

class ThreadGroup;

// The scheduler may have put the rank that is waited for on this rank's core.
constexpr int kSpinsPerYield = 50;

// One started message.  Lives as long as the world, and is used again.
struct ThreadRequest {
  Message message;
  int64_t size_bytes = 0;
  std::atomic<uint32_t> done{0};
  // While its other half copies the message and would be helped: the other half; and that copy.
  std::atomic<ThreadRequest*> copied_by{nullptr};
  SharedCopy copy;
  // Ranks in the world; the owner is -1 for a copy set aside by a buffered send.
  int owner = -1;
  int sender = -1;
  int receiver = -1;
  // In the channel's queue.
  ThreadRequest* next_in_channel = nullptr;
  // The next entry in the pool of its owner.
  ThreadRequest* next = nullptr;
  int64_t transfer_id = -1;
  int64_t index = 0;
  std::vector<std::byte> set_aside;
};

// A fault that has been thrown at this rank by another's: never the first.
class Woken : public CommError {
 public:
  using CommError::CommError;
};

class ThreadWorld {
 public:
  ThreadWorld(int world_size, const CommOptions& options);
  ~ThreadWorld();

  const CommOptions& options() const { return options_; }
  int size() const { return static_cast<int>(ranks_.size()); }
  RankStatus& status(int rank) { return ranks_[rank].status; }
  ThreadGroup& MakeGroup(std::vector<int> members);

  // Keeps the first fault and wakes all ranks.
  void Fail(std::exception_ptr fault);
  // As above, with a CommError, and throws it.
  [[noreturn]] void FailHere(int rank, const std::string& message);
  bool failed() const { return failed_.load(); }
  // Null until a rank has failed.
  std::exception_ptr fault();
  // Throws Woken if a rank has failed, once no rank copies any more.
  void CheckNotFailed(int rank);

  // Returns once done() is true: it becomes so before a call of Notify(rank).
  template <typename Done>
  void WaitUntil(int rank, const Done& done);
  void Notify(int rank);
  // Whether every rank can have a core of its own, on this machine as a whole.
  bool has_core_per_rank() const { return num_spins_ > 0; }

  // While one lives, this rank may read and write its peers' memory: no peer leaves by a fault.
  class CopyScope {
   public:
    CopyScope(ThreadWorld& world, int rank);
    ~CopyScope();

   private:
    std::atomic<bool>& copying_;
  };

  // What rank `rank` waits for, told before WaitUntil, for the supervisor.
  void SetWait(int rank, const ThreadRequest* request);
  void SetWait(int rank, ThreadGroup* group, uint32_t generation);
  // For what a device does: the status says for whom, if anyone knows.
  void SetDeviceWait(int rank);

  // Looks for waits past their deadline and for waits on ranks that have left.
  void Supervise();

 private:
  struct alignas(64) Rank {
    RankStatus status;
    alignas(64) std::atomic<uint32_t> events{0};
    std::atomic<bool> copying{false};
    std::atomic<const ThreadRequest*> request{nullptr};
    std::atomic<ThreadGroup*> group{nullptr};
    std::atomic<uint32_t> generation{0};
    std::atomic<bool> on_device{false};
  };

  // The rank that `rank` still waits for, or -1.
  int WaitsFor(int rank) const;
  // Whether the wait that `rank` is in has not ended, as far as others can see.
  bool IsUnsatisfied(int rank) const;
  std::vector<RankView> Views() const;

  CommOptions options_;
  int num_spins_;
  std::vector<Rank> ranks_;
  std::vector<char> has_finished_;  // of Supervise, kept so that it allocates nothing
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::exception_ptr fault_;
  std::string fault_text_;
  std::vector<std::unique_ptr<ThreadGroup>> groups_;
};

// Messages from one rank to another that have not met their other half: all sends or all receives.
struct ThreadChannel {
  std::mutex mutex;
  ThreadRequest* first = nullptr;
  ThreadRequest* last = nullptr;
  // Copies set aside: memory, and which are free.
  std::deque<ThreadRequest> copies;
  ThreadRequest* free_copies = nullptr;
};

// What the members of a group share.  Slots are written before a barrier and read after it.
class ThreadGroup {
 public:
  struct alignas(64) Slot {
    CollectiveCall call;
    const void* input = nullptr;
    void* output = nullptr;
    SplitKey split_key{};
    ThreadGroup* split_group = nullptr;
    // Barriers that this member has come to.
    std::atomic<uint32_t> num_arrivals{0};
    RequestPool<ThreadRequest> requests;
  };

  explicit ThreadGroup(std::vector<int> members);
  ~ThreadGroup();

  int size() const { return static_cast<int>(members_.size()); }
  int global_rank(int member) const { return members_[member]; }
  int MemberOf(int global_rank) const;
  Slot& slot(int member) { return slots_[member]; }
  // Made when it is first asked for: of all pairs of members few send to each other.
  ThreadChannel& channel(int sender, int receiver);
  uint32_t generation() const { return generation_.load(std::memory_order_acquire); }

  // Counts `member` in; returns true to the last one, which has then opened the barrier.
  bool Arrive(int member);
  // The first member, of all ranks, that has not come to barrier `generation`, or -1.
  int FirstMissing(uint32_t generation) const;

 private:
  std::vector<int> members_;
  std::vector<Slot> slots_;
  std::vector<std::atomic<ThreadChannel*>> channels_;  // [members][members], owned; null: unused
  alignas(64) std::atomic<int> num_arrived_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};
};

template <typename Done>
void ThreadWorld::WaitUntil(int rank, const Done& done) {
  for (int spin = 0; spin < num_spins_; ++spin) {
    if (done()) return;
    if (spin % kSpinsPerYield == kSpinsPerYield - 1) std::this_thread::yield();
    __builtin_ia32_pause();
  }
  std::atomic<uint32_t>& events = ranks_[rank].events;
  while (true) {
    const uint32_t seen = events.load(std::memory_order_acquire);
    if (done()) return;
    CheckNotFailed(rank);
    events.wait(seen, std::memory_order_acquire);
  }
}

}  // namespace sluice::internal
