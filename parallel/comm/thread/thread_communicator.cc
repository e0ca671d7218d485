#include "parallel/comm/thread/thread_communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <system_error>
#include <thread>

#include "core/base/check.h"
#include "core/base/error.h"
#include "parallel/comm/collective.h"
#include "parallel/comm/comm_error.h"
#include "parallel/comm/reduce.h"
#include "parallel/comm/thread/rank_thread.h"
#include "parallel/comm/thread/thread_world.h"

namespace sluice {
namespace {

using internal::SharedCopy;
using internal::ThreadChannel;
using internal::ThreadGroup;
using internal::ThreadRequest;
using internal::ThreadWorld;
using internal::Woken;

constexpr std::chrono::milliseconds kSupervisionInterval(50);
constexpr std::chrono::seconds kGrace(2);

// A wait for a device polls and yields this many times, then pauses between polls.
constexpr int64_t kDeviceYields = 1000;
constexpr std::chrono::microseconds kDevicePause(20);

Side SideOf(const ThreadRequest& request) {
  const Message& message = request.message;
  const bool sends = message.direction == Direction::kSend;
  return {sends ? request.sender : request.receiver,
          DescribeMessage(message.direction, message.payload.count, message.payload.type,
                          message.peer.tag, sends ? request.receiver : request.sender)};
}

SharedCopy::End EndOf(const ThreadRequest& request) {
  return request.message.direction == Direction::kSend ? SharedCopy::End::kFront
                                                       : SharedCopy::End::kBack;
}

CommCall CallOf(const ThreadRequest& request) {
  const bool sends = request.message.direction == Direction::kSend;
  return {sends ? CommOp::kSend : CommOp::kRecv, sends ? request.receiver : request.sender,
          request.size_bytes};
}

class ThreadCommunicator : public Communicator {
 public:
  ThreadCommunicator(ThreadWorld& world, ThreadGroup& group, int member)
      : Communicator(member, group.size(), &world.status(group.global_rank(member))),
        world_(world),
        group_(group),
        slot_(group.slot(member)),
        global_rank_(group.global_rank(member)),
        inputs_(group.size()),
        outputs_(group.size()) {}

  int GlobalRank(int rank) const override { return group_.global_rank(rank); }

  Transfer Start(std::span<const Message> messages) override;
  void Wait(Transfer transfer) override;
  void AllReduce(Payload data, ReduceOp op) override;
  void AllGather(ConstPayload shard, void* gathered) override;
  void ReduceScatter(const void* input, Payload shard, ReduceOp op) override;
  void Broadcast(Payload data, int root) override;
  void Barrier() override;
  std::unique_ptr<Communicator> Split(SplitKey key) override;
  void Drain() override { SLUICE_CHECK_EQ(slot_.requests.num_outstanding(), 0); }
  void WaitUntil(const CommCall& call, const std::function<bool()>& done) override;
  void ReportFault(std::exception_ptr fault) override;

 private:
  ThreadRequest* TakeRequest(const Message& message);
  void Post(ThreadRequest* request);
  // Copies the message of a pair that has met; the other may help.
  void Deliver(ThreadRequest* mine, ThreadRequest* other);
  void HelpToCopy(ThreadRequest* mine);
  void Complete(ThreadRequest* mine, ThreadRequest* other);
  // Copies a send aside and completes it.  The channel is locked.
  ThreadRequest* SetAside(ThreadChannel& channel, ThreadRequest* send);

  void WaitForAll(const CommCall& call);
  // Publishes this rank's call, waits for everyone's and compares them.
  void BeginCollective(const CollectiveCall& call, const void* input, void* output);

  ThreadWorld& world_;
  ThreadGroup& group_;
  ThreadGroup::Slot& slot_;
  int global_rank_;
  // Filled by each collective, kept so that none allocates.
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

ThreadRequest* ThreadCommunicator::TakeRequest(const Message& message) {
  SLUICE_CHECK(message.payload.count >= 0);
  SLUICE_CHECK(message.peer.rank >= 0 && message.peer.rank < world_size());
  SLUICE_CHECK(message.peer.tag >= 0 && message.peer.tag <= kMaxTag);
  ThreadRequest* request = slot_.requests.Take();
  const bool sends = message.direction == Direction::kSend;
  const int peer = group_.global_rank(message.peer.rank);
  request->message = message;
  request->size_bytes = message.payload.size_bytes();
  request->owner = global_rank_;
  request->sender = sends ? global_rank_ : peer;
  request->receiver = sends ? peer : global_rank_;
  request->next_in_channel = nullptr;
  request->done.store(0, std::memory_order_relaxed);
  request->copied_by.store(nullptr, std::memory_order_relaxed);
  return request;
}

Transfer ThreadCommunicator::Start(std::span<const Message> messages) {
  if (messages.empty()) return {};
  world_.CheckNotFailed(global_rank_);
  ThreadRequest* first = nullptr;
  ThreadRequest* last = nullptr;
  for (const Message& message : messages) {
    ThreadRequest* request = TakeRequest(message);
    (first == nullptr ? first : last->next) = request;
    last = request;
    Post(request);
  }
  return slot_.requests.Begin(first);
}

void ThreadCommunicator::Post(ThreadRequest* request) {
  const Message& message = request->message;
  const bool sends = message.direction == Direction::kSend;
  ThreadChannel& channel =
      sends ? group_.channel(rank(), message.peer.rank) : group_.channel(message.peer.rank, rank());
  ThreadRequest* other = nullptr;
  {
    const std::lock_guard lock(channel.mutex);
    if (channel.first != nullptr && channel.first->message.direction != message.direction) {
      other = channel.first;
      channel.first = other->next_in_channel;
    } else {
      ThreadRequest* queued = request;
      if (sends && world_.options().send_mode == SendMode::kBuffered) {
        queued = SetAside(channel, request);
      }
      (channel.first == nullptr ? channel.first : channel.last->next_in_channel) = queued;
      channel.last = queued;
    }
  }
  if (other == nullptr) return;
  // Once delivered, a request is its rank's to use again.
  const bool was_set_aside = other->owner < 0;
  Deliver(request, other);
  if (was_set_aside) {
    const std::lock_guard lock(channel.mutex);
    other->next = channel.free_copies;
    channel.free_copies = other;
  }
}

ThreadRequest* ThreadCommunicator::SetAside(ThreadChannel& channel, ThreadRequest* send) {
  ThreadRequest* copy = channel.free_copies;
  if (copy != nullptr) {
    channel.free_copies = copy->next;
  } else {
    copy = &channel.copies.emplace_back();
  }
  copy->message = send->message;
  copy->size_bytes = send->size_bytes;
  copy->sender = send->sender;
  copy->receiver = send->receiver;
  copy->next_in_channel = nullptr;
  copy->next = nullptr;
  if (copy->set_aside.size() < static_cast<size_t>(send->size_bytes)) {
    copy->set_aside.resize(send->size_bytes);
  }
  if (send->size_bytes > 0) {
    std::memcpy(copy->set_aside.data(), send->message.payload.data, send->size_bytes);
  }
  copy->message.payload.data = copy->set_aside.data();
  send->done.store(1, std::memory_order_release);
  return copy;
}

void ThreadCommunicator::Deliver(ThreadRequest* mine, ThreadRequest* other) {
  const Message& a = mine->message;
  const Message& b = other->message;
  if (a.payload.count != b.payload.count || a.payload.type != b.payload.type ||
      a.peer.tag != b.peer.tag) {
    const bool sends = a.direction == Direction::kSend;
    world_.FailHere(global_rank_, DescribeDisagreement(SideOf(*(sends ? mine : other)),
                                                       SideOf(*(sends ? other : mine)),
                                                       status().DescribePosition()));
  }
  const ThreadWorld::CopyScope scope(world_, global_rank_);
  const bool sends = a.direction == Direction::kSend;
  other->copy.Begin(sends ? b.payload.data : a.payload.data,
                    sends ? a.payload.data : b.payload.data, mine->size_bytes);
  const int owner = other->owner;
  if (owner >= 0 && owner != global_rank_ && other->copy.num_parts() > 1) {
    other->copied_by.store(mine, std::memory_order_release);
    // Waking takes about as long as copying: do both at once.
    if (world_.has_core_per_rank()) world_.Notify(owner);
  }
  if (other->copy.WorkFirst(EndOf(*mine))) Complete(mine, other);
}

void ThreadCommunicator::HelpToCopy(ThreadRequest* mine) {
  ThreadRequest* other = mine->copied_by.load(std::memory_order_acquire);
  if (other == nullptr) return;
  mine->copied_by.store(nullptr, std::memory_order_relaxed);
  const ThreadWorld::CopyScope scope(world_, global_rank_);
  if (mine->copy.Work(EndOf(*mine))) Complete(mine, other);
}

void ThreadCommunicator::Complete(ThreadRequest* mine, ThreadRequest* other) {
  const int owner = other->owner;
  mine->done.store(1, std::memory_order_release);
  other->done.store(1, std::memory_order_release);
  if (owner >= 0 && owner != global_rank_) world_.Notify(owner);
}

void ThreadCommunicator::Wait(Transfer transfer) {
  if (transfer.id < 0) return;
  ThreadRequest* const first = slot_.requests.First(transfer);
  for (ThreadRequest* request = first; request != nullptr; request = request->next) {
    const CommCall call = CallOf(*request);
    world_.SetWait(global_rank_, request);
    status().BeginWait(call);
    world_.WaitUntil(global_rank_, [&] {
      for (ThreadRequest* own = request; own != nullptr; own = own->next) HelpToCopy(own);
      return request->done.load(std::memory_order_acquire) != 0;
    });
    status().EndWait();
  }
  slot_.requests.End(first);
}

void ThreadCommunicator::WaitForAll(const CommCall& call) {
  const uint32_t generation = group_.generation();
  world_.SetWait(global_rank_, &group_, generation);
  status().BeginWait(call);
  if (group_.Arrive(rank())) {
    for (int member = 0; member < world_size(); ++member) {
      if (member != rank()) world_.Notify(group_.global_rank(member));
    }
  } else {
    world_.WaitUntil(global_rank_, [&] { return group_.generation() != generation; });
  }
  status().EndWait();
}

void ThreadCommunicator::BeginCollective(const CollectiveCall& call, const void* input,
                                         void* output) {
  SLUICE_CHECK(call.count >= 0);
  world_.CheckNotFailed(global_rank_);
  slot_.call = call;
  slot_.input = input;
  slot_.output = output;
  WaitForAll({call.op, -1, call.size_bytes()});
  const CollectiveCall& expected = group_.slot(0).call;
  for (int member = 1; member < world_size(); ++member) {
    const CollectiveCall& other = group_.slot(member).call;
    if (other == expected) continue;
    world_.FailHere(global_rank_,
                    DescribeDisagreement({group_.global_rank(0), "calls " + Describe(expected)},
                                         {group_.global_rank(member), "calls " + Describe(other)},
                                         status().DescribePosition()));
  }
}

void ThreadCommunicator::AllReduce(Payload data, ReduceOp op) {
  CheckReducible(data.type);
  const CollectiveCall call{
      .op = CommOp::kAllReduce, .type = data.type.kind(), .reduce = op, .count = data.count};
  BeginCollective(call, data.data, data.data);
  {
    // Each rank reduces its own part of everyone's buffers, for everyone.
    const ThreadWorld::CopyScope scope(world_, global_rank_);
    const int64_t begin = data.count * rank() / world_size();
    const int64_t end = data.count * (rank() + 1) / world_size();
    for (int member = 0; member < world_size(); ++member) {
      outputs_[member] =
          static_cast<std::byte*>(group_.slot(member).output) + begin * data.type.size_bytes();
      inputs_[member] = outputs_[member];
    }
    ReduceInOrder(inputs_, end - begin, data.type, op, outputs_);
  }
  WaitForAll({call.op, -1, call.size_bytes()});
}

void ThreadCommunicator::AllGather(ConstPayload shard, void* gathered) {
  const CollectiveCall call{
      .op = CommOp::kAllGather, .type = shard.type.kind(), .count = shard.count};
  BeginCollective(call, shard.data, gathered);
  {
    const ThreadWorld::CopyScope scope(world_, global_rank_);
    for (int member = 0; member < world_size() && shard.count > 0; ++member) {
      std::byte* place = static_cast<std::byte*>(gathered) + member * shard.size_bytes();
      const void* input = group_.slot(member).input;
      if (place != input) std::memcpy(place, input, shard.size_bytes());
    }
  }
  WaitForAll({call.op, -1, call.size_bytes()});
}

void ThreadCommunicator::ReduceScatter(const void* input, Payload shard, ReduceOp op) {
  CheckReducible(shard.type);
  const CollectiveCall call{
      .op = CommOp::kReduceScatter, .type = shard.type.kind(), .reduce = op, .count = shard.count};
  BeginCollective(call, input, shard.data);
  {
    const ThreadWorld::CopyScope scope(world_, global_rank_);
    for (int member = 0; member < world_size(); ++member) {
      inputs_[member] =
          static_cast<const std::byte*>(group_.slot(member).input) + rank() * shard.size_bytes();
    }
    ReduceInOrder(inputs_, shard.count, shard.type, op, {&shard.data, 1});
  }
  WaitForAll({call.op, -1, call.size_bytes()});
}

void ThreadCommunicator::Broadcast(Payload data, int root) {
  SLUICE_CHECK(root >= 0 && root < world_size());
  const CollectiveCall call{
      .op = CommOp::kBroadcast, .type = data.type.kind(), .root = root, .count = data.count};
  BeginCollective(call, data.data, data.data);
  {
    const ThreadWorld::CopyScope scope(world_, global_rank_);
    if (rank() != root && data.count > 0) {
      std::memcpy(data.data, group_.slot(root).input, data.size_bytes());
    }
  }
  WaitForAll({call.op, -1, call.size_bytes()});
}

void ThreadCommunicator::Barrier() {
  BeginCollective({.op = CommOp::kBarrier}, nullptr, nullptr);
  // The slots may be written again only once all have been compared.
  WaitForAll({CommOp::kBarrier});
}

std::unique_ptr<Communicator> ThreadCommunicator::Split(SplitKey key) {
  slot_.split_key = key;
  BeginCollective({.op = CommOp::kSplit}, nullptr, nullptr);
  std::vector<int> members;
  for (int member = 0; member < world_size(); ++member) {
    if (group_.slot(member).split_key.color == key.color) members.push_back(member);
  }
  std::stable_sort(members.begin(), members.end(), [&](int a, int b) {
    return group_.slot(a).split_key.key < group_.slot(b).split_key.key;
  });
  const int leader = members.front();
  std::vector<int> global_ranks;
  for (int member : members) global_ranks.push_back(group_.global_rank(member));
  if (leader == rank()) slot_.split_group = &world_.MakeGroup(global_ranks);
  WaitForAll({CommOp::kSplit});
  ThreadGroup& group = *group_.slot(leader).split_group;
  // The leader's slot may be written again only once all have read it.
  WaitForAll({CommOp::kSplit});
  return std::make_unique<ThreadCommunicator>(world_, group, group.MemberOf(global_rank_));
}

void ThreadCommunicator::WaitUntil(const CommCall& call, const std::function<bool()>& done) {
  world_.SetDeviceWait(global_rank_);
  status().BeginWait(call);
  for (int64_t num_polls = 0; !done(); ++num_polls) {
    world_.CheckNotFailed(global_rank_);
    if (num_polls < kDeviceYields) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kDevicePause);
    }
  }
  status().EndWait();
}

// The fault of a rank's own code, with the rank named; null for a rank that was only woken.
std::exception_ptr NameRank(int rank, const RankStatus& status, std::exception_ptr fault) {
  const std::string who = fmt::format("rank {}: ", rank);
  const std::string where = fmt::format(" ({})", status.DescribePosition());
  try {
    std::rethrow_exception(fault);
  } catch (const Woken&) {
    return nullptr;
  } catch (const CommError&) {
    return fault;
  } catch (const Error& error) {
    return std::make_exception_ptr(Error(who + error.what()));
  } catch (const std::exception& error) {
    return std::make_exception_ptr(CommError(who + error.what() + where, kFaultExitCode));
  } catch (...) {
    return std::make_exception_ptr(CommError(who + "unknown exception" + where, kFaultExitCode));
  }
}

void ThreadCommunicator::ReportFault(std::exception_ptr fault) {
  if (auto named = NameRank(global_rank_, status(), fault)) world_.Fail(named);
}

void RunRank(ThreadWorld& world, ThreadGroup& everyone, int rank,
             const std::function<void(Communicator&)>& run_rank) {
  SetCurrentRank(rank);
  internal::ScheduleRankThread(rank, world.size());
  RankStatus& status = world.status(rank);
  status.SetPhase(RankPhase::kRunning);
  try {
    ThreadCommunicator comm(world, everyone, rank);
    run_rank(comm);
    status.SetPhase(RankPhase::kFinished);
  } catch (...) {
    status.SetPhase(RankPhase::kFailed);
    if (auto fault = NameRank(rank, status, std::current_exception())) world.Fail(fault);
  }
}

// Ranks that do not end would keep the process for ever.
[[noreturn]] void ExitWithFault(std::exception_ptr fault) {
  int code = kFaultExitCode;
  std::string message;
  try {
    std::rethrow_exception(fault);
  } catch (const CommError& error) {
    message = error.what();
    code = error.exit_code();
  } catch (const std::exception& error) {
    message = error.what();
    code = kBadInputExitCode;
  }
  std::fprintf(stderr, "error: %s\n", message.c_str());
  std::fflush(stderr);
  std::_Exit(code);
}

}  // namespace

void RunThreadRanks(const ThreadRanksOptions& options,
                    const std::function<void(Communicator&)>& run_rank) {
  if (options.world_size < 1) {
    throw Error(fmt::format("world_size {} is not positive", options.world_size));
  }
  ThreadWorld world(options.world_size, options.comm);
  std::vector<int> members(options.world_size);
  std::iota(members.begin(), members.end(), 0);
  ThreadGroup& everyone = world.MakeGroup(members);

  std::mutex mutex;
  std::condition_variable ended;
  int num_running = options.world_size;
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(options.world_size));
  for (int rank = 0; rank < options.world_size; ++rank) {
    try {
      threads.emplace_back([&, rank] {
        RunRank(world, everyone, rank, run_rank);
        const std::lock_guard lock(mutex);
        --num_running;
        ended.notify_one();
      });
    } catch (const std::system_error& error) {
      world.Fail(std::make_exception_ptr(
          Error(fmt::format("the system has no thread for rank {} of world_size {}: {}", rank,
                            options.world_size, error.code().message()))));
      const std::lock_guard lock(mutex);
      num_running -= options.world_size - rank;
      break;
    }
  }
  {
    std::unique_lock lock(mutex);
    int64_t failed_ns = 0;
    while (num_running > 0) {
      ended.wait_for(lock, kSupervisionInterval);
      world.Supervise();
      if (!world.failed()) continue;
      if (failed_ns == 0) failed_ns = MonotonicNs();
      if (MonotonicNs() - failed_ns > std::chrono::nanoseconds(kGrace).count()) {
        ExitWithFault(world.fault());
      }
    }
  }
  for (std::thread& thread : threads) thread.join();
  if (world.failed()) std::rethrow_exception(world.fault());
}

}  // namespace sluice
