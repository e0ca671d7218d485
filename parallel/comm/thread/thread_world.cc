#include "parallel/comm/thread/thread_world.h"

#include <algorithm>
#include <thread>

namespace sluice::internal {
namespace {

// About 20 us: longer than a peer takes to notice, shorter than putting a thread to sleep and
// waking it.
constexpr int kSpinsWithOwnCore = 1000;

std::string TextOf(const std::exception_ptr& fault) {
  try {
    std::rethrow_exception(fault);
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace

ThreadWorld::ThreadWorld(int world_size, const CommOptions& options)
    : options_(options),
      num_spins_(static_cast<unsigned>(world_size) <= std::thread::hardware_concurrency()
                     ? kSpinsWithOwnCore
                     : 0),
      ranks_(world_size),
      has_finished_(world_size) {}

ThreadWorld::~ThreadWorld() = default;

ThreadGroup& ThreadWorld::MakeGroup(std::vector<int> members) {
  const std::lock_guard lock(mutex_);
  return *groups_.emplace_back(std::make_unique<ThreadGroup>(std::move(members)));
}

void ThreadWorld::Fail(std::exception_ptr fault) {
  {
    const std::lock_guard lock(mutex_);
    if (fault_ == nullptr) {
      fault_ = std::move(fault);
      fault_text_ = TextOf(fault_);
    }
    failed_.store(true);
  }
  for (int rank = 0; rank < size(); ++rank) Notify(rank);
}

void ThreadWorld::FailHere(int rank, const std::string& message) {
  const CommError error(message, kFaultExitCode);
  Fail(std::make_exception_ptr(error));
  CheckNotFailed(rank);
  throw error;
}

std::exception_ptr ThreadWorld::fault() {
  const std::lock_guard lock(mutex_);
  return fault_;
}

void ThreadWorld::CheckNotFailed(int rank) {
  if (!failed_.load()) return;
  // A peer may be copying from or to this rank's memory, which goes when this throws.  None starts
  // a copy now, and each that began ends without waiting.
  for (int peer = 0; peer < size(); ++peer) {
    while (peer != rank && ranks_[peer].copying.load()) std::this_thread::yield();
  }
  const std::lock_guard lock(mutex_);
  throw Woken(fault_text_, kFaultExitCode);
}

void ThreadWorld::Notify(int rank) {
  ranks_[rank].events.fetch_add(1, std::memory_order_release);
  ranks_[rank].events.notify_one();
}

ThreadWorld::CopyScope::CopyScope(ThreadWorld& world, int rank)
    : copying_(world.ranks_[rank].copying) {
  // Sequentially consistent, as is CheckNotFailed: either this sees the fault, or the rank that
  // leaves sees the copy.
  copying_.store(true);
  if (world.failed_.load()) {
    copying_.store(false);
    world.CheckNotFailed(rank);
  }
}

ThreadWorld::CopyScope::~CopyScope() { copying_.store(false, std::memory_order_release); }

void ThreadWorld::SetWait(int rank, const ThreadRequest* request) {
  ranks_[rank].on_device.store(false, std::memory_order_relaxed);
  ranks_[rank].group.store(nullptr, std::memory_order_relaxed);
  ranks_[rank].request.store(request, std::memory_order_release);
}

void ThreadWorld::SetWait(int rank, ThreadGroup* group, uint32_t generation) {
  ranks_[rank].on_device.store(false, std::memory_order_relaxed);
  ranks_[rank].request.store(nullptr, std::memory_order_relaxed);
  ranks_[rank].generation.store(generation, std::memory_order_relaxed);
  ranks_[rank].group.store(group, std::memory_order_release);
}

void ThreadWorld::SetDeviceWait(int rank) {
  ranks_[rank].request.store(nullptr, std::memory_order_relaxed);
  ranks_[rank].group.store(nullptr, std::memory_order_relaxed);
  ranks_[rank].on_device.store(true, std::memory_order_release);
}

bool ThreadWorld::IsUnsatisfied(int rank) const {
  return ranks_[rank].on_device.load(std::memory_order_acquire) || WaitsFor(rank) >= 0;
}

int ThreadWorld::WaitsFor(int rank) const {
  const Rank& waiter = ranks_[rank];
  if (waiter.on_device.load(std::memory_order_acquire)) return waiter.status.wait_peer();
  if (const ThreadRequest* request = waiter.request.load(std::memory_order_acquire)) {
    if (request->done.load(std::memory_order_acquire) != 0) return -1;
    return waiter.status.wait_peer();
  }
  if (const ThreadGroup* group = waiter.group.load(std::memory_order_acquire)) {
    return group->FirstMissing(waiter.generation.load(std::memory_order_relaxed));
  }
  return -1;
}

std::vector<RankView> ThreadWorld::Views() const {
  std::vector<RankView> views(ranks_.size());
  for (size_t rank = 0; rank < views.size(); ++rank) {
    views[rank] = {&ranks_[rank].status, WaitsFor(static_cast<int>(rank))};
  }
  for (int rank = 0; rank < size(); ++rank) {
    const bool is_unknown = ranks_[rank].on_device.load(std::memory_order_relaxed) &&
                            views[rank].status->wait_begin_ns() != 0 && views[rank].waits_for < 0;
    if (is_unknown) views[rank].waits_for = FirstLate(views, rank);
  }
  return views;
}

void ThreadWorld::Supervise() {
  // A peer's end is read before what the peer did for others: if it has ended and a wait for it is
  // still unsatisfied, it will stay so.
  for (size_t rank = 0; rank < ranks_.size(); ++rank) {
    has_finished_[rank] = ranks_[rank].status.phase() == RankPhase::kFinished;
  }
  for (int rank = 0; rank < size() && !failed(); ++rank) {
    const RankStatus& status = ranks_[rank].status;
    const int64_t wait_begin_ns = status.wait_begin_ns();
    if (wait_begin_ns == 0) continue;
    const int peer = WaitsFor(rank);
    const int gone = peer >= 0 && has_finished_[peer] ? peer : -1;
    const double waited_s = static_cast<double>(MonotonicNs() - wait_begin_ns) * 1e-9;
    // Still the same wait, so what was read belongs together.
    if (status.wait_begin_ns() != wait_begin_ns) continue;
    if (gone >= 0) {
      Fail(std::make_exception_ptr(CommError(DescribeLeft(Views(), rank, gone), kFaultExitCode)));
    } else if (waited_s > options_.timeout_s && IsUnsatisfied(rank)) {
      Fail(std::make_exception_ptr(
          CommError(DescribeDeadline(Views(), rank, waited_s), kDeadlineExitCode)));
    }
  }
}

ThreadGroup::ThreadGroup(std::vector<int> members)
    : members_(std::move(members)),
      slots_(members_.size()),
      channels_(members_.size() * members_.size()) {}

ThreadGroup::~ThreadGroup() {
  for (std::atomic<ThreadChannel*>& channel : channels_) delete channel.load();
}

ThreadChannel& ThreadGroup::channel(int sender, int receiver) {
  std::atomic<ThreadChannel*>& entry =
      channels_[static_cast<size_t>(sender) * members_.size() + static_cast<size_t>(receiver)];
  ThreadChannel* channel = entry.load(std::memory_order_acquire);
  if (channel != nullptr) return *channel;
  auto made = std::make_unique<ThreadChannel>();
  // The other end may have made it meanwhile.
  if (entry.compare_exchange_strong(channel, made.get())) channel = made.release();
  return *channel;
}

int ThreadGroup::MemberOf(int global_rank) const {
  const auto found = std::find(members_.begin(), members_.end(), global_rank);
  SLUICE_CHECK(found != members_.end());
  return static_cast<int>(found - members_.begin());
}

bool ThreadGroup::Arrive(int member) {
  slots_[member].num_arrivals.fetch_add(1, std::memory_order_relaxed);
  if (num_arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < size()) return false;
  num_arrived_.store(0, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_acq_rel);
  return true;
}

int ThreadGroup::FirstMissing(uint32_t generation) const {
  if (generation_.load(std::memory_order_acquire) != generation) return -1;
  for (size_t member = 0; member < members_.size(); ++member) {
    // Counted as a difference, so that the counters may wrap.
    if (slots_[member].num_arrivals.load(std::memory_order_relaxed) == generation) {
      return members_[member];
    }
  }
  return -1;
}

}  // namespace sluice::internal
