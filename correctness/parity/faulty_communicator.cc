#include "correctness/parity/faulty_communicator.h"

#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace sluice {
namespace {

class FaultyCommunicator : public Communicator {
 public:
  FaultyCommunicator(std::unique_ptr<Communicator> owned, Communicator& inner,
                     const FaultyCall& call, const std::atomic<bool>& is_armed, bool is_group)
      : Communicator(inner.rank(), inner.world_size(), &status_),
        owned_(std::move(owned)),
        inner_(inner),
        call_(call),
        is_armed_(is_armed),
        is_group_(is_group) {}

  int GlobalRank(int rank) const override { return inner_.GlobalRank(rank); }

  Transfer Start(std::span<const Message> messages) override {
    std::vector<Message> changed(messages.begin(), messages.end());
    for (Message& message : changed) {
      if (message.direction != Direction::kRecv || !IsFaulty(CommFault::kStaleReceive)) continue;
      elsewhere_.resize(static_cast<size_t>(message.payload.size_bytes()));
      message.payload.data = elsewhere_.data();
    }
    return inner_.Start(changed);
  }
  void Wait(Transfer transfer) override { inner_.Wait(transfer); }

  void AllReduce(Payload data, ReduceOp op) override {
    if (!IsFaulty(CommFault::kSkippedAllReduce)) inner_.AllReduce(data, op);
  }
  void AllGather(ConstPayload shard, void* gathered) override {
    if (!IsFaulty(CommFault::kSkippedAllGather)) inner_.AllGather(shard, gathered);
  }
  void ReduceScatter(const void* input, Payload shard, ReduceOp op) override {
    if (!IsFaulty(CommFault::kSkippedReduceScatter)) return inner_.ReduceScatter(input, shard, op);
    const char* own = static_cast<const char*>(input) + rank() * shard.size_bytes();
    std::memmove(shard.data, own, static_cast<size_t>(shard.size_bytes()));
  }
  void Broadcast(Payload data, int root) override { inner_.Broadcast(data, root); }
  void Barrier() override { inner_.Barrier(); }
  void Drain() override { inner_.Drain(); }
  void Connect(std::span<const int> receivers) override { inner_.Connect(receivers); }
  void WaitUntil(const CommCall& call, const std::function<bool()>& done) override {
    inner_.WaitUntil(call, done);
  }
  void ReportFault(std::exception_ptr fault) override { inner_.ReportFault(std::move(fault)); }

  std::unique_ptr<Communicator> Split(SplitKey key) override {
    const bool is_group = num_splits_++ == static_cast<int>(call_.group);
    std::unique_ptr<Communicator> group = inner_.Split(key);
    Communicator& inner = *group;
    return std::make_unique<FaultyCommunicator>(std::move(group), inner, call_, is_armed_,
                                                is_group);
  }

 private:
  bool IsFaulty(CommFault fault) {
    return is_group_ && is_armed_.load() && fault == call_.fault && num_calls_++ == call_.index;
  }

  RankStatus status_;
  std::unique_ptr<Communicator> owned_;
  Communicator& inner_;
  FaultyCall call_;
  const std::atomic<bool>& is_armed_;
  bool is_group_;
  int num_splits_ = 0;
  int64_t num_calls_ = 0;
  std::vector<char> elsewhere_;
};

}  // namespace

std::unique_ptr<Communicator> MakeFaulty(Communicator& inner, const FaultyCall& call,
                                         const std::atomic<bool>& is_armed) {
  return std::make_unique<FaultyCommunicator>(nullptr, inner, call, is_armed, false);
}

}  // namespace sluice
