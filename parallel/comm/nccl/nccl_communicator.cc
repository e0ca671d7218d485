#include "parallel/comm/nccl/nccl_communicator.h"

#include <fmt/format.h>
#include <nccl.h>

#include <deque>
#include <exception>
#include <memory>
#include <vector>

#include "core/base/check.h"
#include "parallel/comm/collective.h"
#include "parallel/comm/comm_error.h"
#include "parallel/comm/nccl/nccl_rank.h"
#include "parallel/comm/request_pool.h"

namespace sluice {
namespace {

using internal::NcclRank;

ncclDataType_t TypeOf(ElementType type) {
  switch (type.kind()) {
    case ElementType::Kind::kFloat64:
      return ncclFloat64;
    case ElementType::Kind::kFloat32:
      return ncclFloat32;
    case ElementType::Kind::kBFloat16:
      return ncclBfloat16;
    case ElementType::Kind::kFloat16:
      return ncclFloat16;
    case ElementType::Kind::kInt64:
      return ncclInt64;
    case ElementType::Kind::kByte:
      return ncclUint8;
  }
  return ncclUint8;
}

ncclRedOp_t OpOf(ReduceOp op) { return op == ReduceOp::kSum ? ncclSum : ncclMax; }

size_t CountOf(int64_t count) {
  SLUICE_CHECK(count >= 0);
  return static_cast<size_t>(count);
}

// What a sender says of a message, through the host.
struct MessageHeader {
  int64_t count = 0;
  ElementType::Kind type = ElementType::Kind::kByte;
  int32_t tag = 0;
};

MessageHeader HeaderOf(const Message& message) {
  return {message.payload.count, message.payload.type.kind(), message.peer.tag};
}

struct Request {
  Message message;
  // Sent or received; empty in a capture, and between a rank and itself.
  MessageHeader header;
  Transfer header_transfer;
  bool is_captured = false;
  bool is_issued = false;
  cudaEvent_t ready = nullptr;
  cudaEvent_t done = nullptr;
  Request* next = nullptr;
  int64_t index = 0;
  int64_t transfer_id = -1;
};

// The way of messages from one rank to one other.  Without `comm`, of a rank to itself.
struct Channel {
  cudaStream_t stream = nullptr;
  ncclComm_t comm = nullptr;
};

class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(std::shared_ptr<NcclRank> rank, std::unique_ptr<Communicator> owned_host,
                   Communicator& host)
      : Communicator(host.rank(), host.world_size(), &host.status()),
        owned_host_(std::move(owned_host)),
        host_(host),
        rank_(std::move(rank)),
        outgoing_(CountOf(host.world_size())),
        incoming_(CountOf(host.world_size())),
        calls_(CountOf(host.world_size())) {}
  ~NcclCommunicator() override;

  Communicator& host() override { return host_; }
  int GlobalRank(int member) const override { return host_.GlobalRank(member); }

  void Connect(std::span<const int> receivers) override {
    rank_->Guard([&] { MakeChannels(receivers); });
  }
  Transfer Start(std::span<const Message> messages) override {
    return rank_->Guard([&] { return StartAll(messages); });
  }
  void Wait(Transfer transfer) override {
    rank_->Guard([&] { WaitForAll(transfer); });
  }
  void AllReduce(Payload data, ReduceOp op) override;
  void AllGather(ConstPayload shard, void* gathered) override;
  void ReduceScatter(const void* input, Payload shard, ReduceOp op) override;
  void Broadcast(Payload data, int root) override;
  void Barrier() override {
    rank_->Guard([&] { host_.Barrier(); });
  }
  std::unique_ptr<Communicator> Split(SplitKey key) override;
  void Drain() override {
    SLUICE_CHECK_EQ(requests_.num_outstanding(), 0);
    rank_->Guard([&] { rank_->Drain(); });
  }
  void WaitUntil(const CommCall& call, const std::function<bool()>& done) override {
    rank_->Guard([&] { host_.WaitUntil(call, done); });
  }
  void ReportFault(std::exception_ptr fault) override { host_.ReportFault(std::move(fault)); }

 private:
  // What a rank calls, and in rank 0's the id of the group's ncclComm_t, where there is none yet.
  struct CollectiveHeader {
    CollectiveCall call;
    ncclUniqueId id{};
  };

  void MakeChannels(std::span<const int> receivers);
  Channel MakeChannel(int from, int to);

  Request* TakeRequest(const Message& message);
  Channel& ChannelOf(const Message& message);
  Transfer StartAll(std::span<const Message> messages);
  void SendHeader(Request& request);
  // Puts a message on its stream, within a group of NCCL.
  void Issue(Request& request);
  void IssueToSelf();
  void WaitForAll(Transfer transfer);
  void WaitForHeader(Request& request);
  void CheckAgreement(const Request& request, const MessageHeader& sent) const;
  void OrderComputeAfter(Request& request);

  // Agrees with the others on a call, outside of a capture; makes the group's ncclComm_t.
  void Agree(const CollectiveCall& call);
  template <typename Enqueue>
  void RunCollective(const CollectiveCall& call, const char* name, const Enqueue& enqueue);
  void CopyOnCompute(void* to, const void* from, int64_t size_bytes);

  std::unique_ptr<Communicator> owned_host_;
  Communicator& host_;
  std::shared_ptr<NcclRank> rank_;

  // By peer.
  std::vector<Channel> outgoing_;
  std::vector<Channel> incoming_;
  RequestPool<Request> requests_;
  // Messages to itself that have not met their other half.
  std::deque<Request*> self_sends_;
  std::deque<Request*> self_receives_;
  std::vector<ncclComm_t> group_comms_;

  ncclComm_t comm_ = nullptr;
  std::vector<CollectiveHeader> calls_;
};

NcclCommunicator::~NcclCommunicator() {
  if (std::uncaught_exceptions() > 0) {
    rank_->Abort(std::make_exception_ptr(
        CommError(fmt::format("rank {}: after an error, ncclCommAbort did not return {}",
                              rank_->global_rank(), status().DescribePosition()),
                  kFaultExitCode)));
    return;
  }
  try {
    rank_->Guard([&] {
      std::vector<ncclComm_t> comms;
      if (comm_ != nullptr) comms.push_back(comm_);
      for (const std::vector<Channel>* channels : {&outgoing_, &incoming_}) {
        for (const Channel& channel : *channels) {
          if (channel.comm != nullptr) comms.push_back(channel.comm);
        }
      }
      if (!comms.empty()) rank_->FinishComms(comms);
      for (const Channel& channel : outgoing_) {
        if (channel.stream != nullptr) rank_->DestroyStream(channel.stream);
      }
      for (const Channel& channel : incoming_) {
        if (channel.comm != nullptr) rank_->DestroyStream(channel.stream);
      }
    });
  } catch (...) {
    host_.ReportFault(std::current_exception());
  }
}

Channel NcclCommunicator::MakeChannel(int from, int to) {
  internal::NcclMembership membership{.rank = from == rank() ? 0 : 1, .size = 2};
  const int peer = from == rank() ? to : from;
  membership.global_peer = GlobalRank(peer);
  const Payload id{membership.id.internal, NCCL_UNIQUE_ID_BYTES, ControlType::kByte};
  if (from == rank()) {
    rank_->Check(ncclGetUniqueId(&membership.id), "ncclGetUniqueId");
    host_.Send(id, {peer});
  } else {
    host_.Recv(id, {peer});
  }
  const Channel channel = {.stream = rank_->MakeStream(), .comm = rank_->MakeComm(membership)};
  rank_->ConnectEnds(channel.comm, channel.stream,
                     from == rank() ? Direction::kSend : Direction::kRecv, membership.global_peer);
  return channel;
}

void NcclCommunicator::MakeChannels(std::span<const int> receivers) {
  SLUICE_CHECK_EQ(requests_.num_outstanding(), 0);
  const size_t size = CountOf(world_size());
  std::vector<char> mine(size, 0);
  for (const int receiver : receivers) {
    SLUICE_CHECK(receiver >= 0 && receiver < world_size());
    mine[CountOf(receiver)] = 1;
  }
  std::vector<char> all(size * size);
  host_.AllGather({mine.data(), world_size(), ControlType::kByte}, all.data());
  if (mine[CountOf(rank())] != 0 && outgoing_[CountOf(rank())].stream == nullptr) {
    outgoing_[CountOf(rank())].stream = rank_->MakeStream();
  }
  // Both ends of each connection come to it in the same order, so none waits in a circle.
  for (int from = 0; from < world_size(); ++from) {
    for (int to = 0; to < world_size(); ++to) {
      const bool is_wanted = all[CountOf(from) * size + CountOf(to)] != 0;
      if (!is_wanted || from == to || (from != rank() && to != rank())) continue;
      Channel& channel = from == rank() ? outgoing_[CountOf(to)] : incoming_[CountOf(from)];
      if (channel.comm == nullptr) channel = MakeChannel(from, to);
    }
  }
}

Request* NcclCommunicator::TakeRequest(const Message& message) {
  SLUICE_CHECK(message.peer.rank >= 0 && message.peer.rank < world_size());
  SLUICE_CHECK(message.peer.tag >= 0 && message.peer.tag <= kMaxTag);
  Request* request = requests_.Take();
  request->message = message;
  request->header_transfer = {};
  request->is_issued = false;
  return request;
}

Channel& NcclCommunicator::ChannelOf(const Message& message) {
  const size_t peer = CountOf(message.peer.rank);
  const bool sends = message.direction == Direction::kSend || message.peer.rank == rank();
  Channel& channel = sends ? outgoing_[peer] : incoming_[peer];
  // The ranks were connected.
  SLUICE_CHECK(channel.stream != nullptr);
  return channel;
}

void NcclCommunicator::SendHeader(Request& request) {
  const int peer = request.message.peer.rank;
  if (request.is_captured || peer == rank()) return;
  const Payload header{&request.header, sizeof(MessageHeader), ControlType::kByte};
  if (request.message.direction == Direction::kSend) {
    request.header = HeaderOf(request.message);
    request.header_transfer = host_.Isend(header, {peer});
  } else {
    request.header_transfer = host_.Irecv(header, {peer});
  }
}

void NcclCommunicator::Issue(Request& request) {
  const Message& message = request.message;
  const Channel& channel = ChannelOf(message);
  const Payload& payload = message.payload;
  const bool sends = message.direction == Direction::kSend;
  const ncclResult_t code = sends ? ncclSend(payload.data, CountOf(payload.count),
                                             TypeOf(payload.type), 1, channel.comm, channel.stream)
                                  : ncclRecv(payload.data, CountOf(payload.count),
                                             TypeOf(payload.type), 0, channel.comm, channel.stream);
  if (code != ncclInProgress) rank_->Check(code, sends ? "ncclSend" : "ncclRecv");
  group_comms_.push_back(channel.comm);
}

Transfer NcclCommunicator::StartAll(std::span<const Message> messages) {
  if (messages.empty()) return {};
  const bool is_captured = rank_->IsCapturing();
  Request* first = nullptr;
  Request* last = nullptr;
  group_comms_.clear();
  for (const Message& message : messages) {
    Request* request = TakeRequest(message);
    (first == nullptr ? first : last->next) = request;
    last = request;
    request->is_captured = is_captured;
    SendHeader(*request);
    const cudaStream_t stream = ChannelOf(message).stream;
    request->ready = rank_->TakeEvent();
    rank_->Check(cudaEventRecord(request->ready, rank_->compute()), "cudaEventRecord");
    rank_->Check(cudaStreamWaitEvent(stream, request->ready, 0), "cudaStreamWaitEvent");
  }
  rank_->Check(ncclGroupStart(), "ncclGroupStart");
  for (Request* request = first; request != nullptr; request = request->next) {
    const Message& message = request->message;
    if (message.peer.rank == rank()) {
      (message.direction == Direction::kSend ? self_sends_ : self_receives_).push_back(request);
      continue;
    }
    if (message.payload.count > 0) Issue(*request);
  }
  rank_->Complete(ncclGroupEnd(), group_comms_, "ncclGroupEnd");
  IssueToSelf();
  for (Request* request = first; request != nullptr; request = request->next) {
    if (request->message.peer.rank == rank()) continue;
    request->done = rank_->TakeEvent();
    rank_->Check(cudaEventRecord(request->done, ChannelOf(request->message).stream),
                 "cudaEventRecord");
    request->is_issued = true;
  }
  return requests_.Begin(first);
}

void NcclCommunicator::IssueToSelf() {
  while (!self_sends_.empty() && !self_receives_.empty()) {
    Request& send = *self_sends_.front();
    Request& receive = *self_receives_.front();
    self_sends_.pop_front();
    self_receives_.pop_front();
    CheckAgreement(receive, HeaderOf(send.message));
    const Payload& payload = send.message.payload;
    const cudaStream_t stream = outgoing_[CountOf(rank())].stream;
    if (payload.count > 0) {
      rank_->Check(cudaMemcpyAsync(receive.message.payload.data, payload.data,
                                   CountOf(payload.size_bytes()), cudaMemcpyDeviceToDevice, stream),
                   "cudaMemcpyAsync");
    }
    for (Request* request : {&send, &receive}) {
      request->done = rank_->TakeEvent();
      rank_->Check(cudaEventRecord(request->done, stream), "cudaEventRecord");
      request->is_issued = true;
    }
  }
}

void NcclCommunicator::CheckAgreement(const Request& request, const MessageHeader& sent) const {
  const Message& message = request.message;
  const MessageHeader received = HeaderOf(message);
  if (sent.count == received.count && sent.type == received.type && sent.tag == received.tag) {
    return;
  }
  const int sender = GlobalRank(message.peer.rank);
  const int receiver = GlobalRank(rank());
  throw CommError(DescribeDisagreement(
                      {sender, DescribeMessage(Direction::kSend, sent.count, ElementType(sent.type),
                                               sent.tag, receiver)},
                      {receiver, DescribeMessage(Direction::kRecv, received.count,
                                                 ElementType(received.type), received.tag, sender)},
                      host_.status().DescribePosition()),
                  kFaultExitCode);
}

void NcclCommunicator::WaitForHeader(Request& request) {
  if (request.header_transfer.id < 0) return;
  host_.Wait(request.header_transfer);
  if (request.message.direction == Direction::kRecv) CheckAgreement(request, request.header);
}

void NcclCommunicator::OrderComputeAfter(Request& request) {
  // A message of a rank to itself whose other half was never started.
  SLUICE_CHECK(request.is_issued);
  rank_->Check(cudaStreamWaitEvent(rank_->compute(), request.done, 0), "cudaStreamWaitEvent");
  if (request.is_captured) {
    rank_->GiveEvent(request.ready);
    rank_->GiveEvent(request.done);
    return;
  }
  const Message& message = request.message;
  const bool sends = message.direction == Direction::kSend;
  rank_->Track({sends ? CommOp::kSend : CommOp::kRecv, GlobalRank(message.peer.rank),
                message.payload.size_bytes()},
               request.ready, request.done);
}

void NcclCommunicator::WaitForAll(Transfer transfer) {
  if (transfer.id < 0) return;
  Request* const first = requests_.First(transfer);
  for (Request* request = first; request != nullptr; request = request->next) {
    WaitForHeader(*request);
    OrderComputeAfter(*request);
  }
  requests_.End(first);
}

void NcclCommunicator::Agree(const CollectiveCall& call) {
  SLUICE_CHECK(call.count >= 0);
  if (rank_->IsCapturing()) {
    SLUICE_CHECK(comm_ != nullptr || world_size() == 1);
    return;
  }
  CollectiveHeader mine{.call = call};
  const bool needs_comm = comm_ == nullptr && world_size() > 1;
  if (needs_comm && rank() == 0) rank_->Check(ncclGetUniqueId(&mine.id), "ncclGetUniqueId");
  host_.AllGather({&mine, sizeof(CollectiveHeader), ControlType::kByte}, calls_.data());
  for (int peer = 1; peer < world_size(); ++peer) {
    const CollectiveCall& other = calls_[CountOf(peer)].call;
    if (other == calls_[0].call) continue;
    throw CommError(DescribeDisagreement({GlobalRank(0), "calls " + Describe(calls_[0].call)},
                                         {GlobalRank(peer), "calls " + Describe(other)},
                                         status().DescribePosition()),
                    kFaultExitCode);
  }
  if (needs_comm) {
    comm_ = rank_->MakeComm({.id = calls_[0].id, .rank = rank(), .size = world_size()});
  }
}

template <typename Enqueue>
void NcclCommunicator::RunCollective(const CollectiveCall& call, const char* name,
                                     const Enqueue& enqueue) {
  rank_->Guard([&] {
    Agree(call);
    if (call.count == 0) return;
    const bool is_tracked = !rank_->IsCapturing();
    cudaEvent_t ready = nullptr;
    if (is_tracked) {
      ready = rank_->TakeEvent();
      rank_->Check(cudaEventRecord(ready, rank_->compute()), "cudaEventRecord");
    }
    rank_->Complete(enqueue(), {&comm_, world_size() > 1 ? size_t{1} : size_t{0}}, name);
    if (!is_tracked) return;
    const cudaEvent_t done = rank_->TakeEvent();
    rank_->Check(cudaEventRecord(done, rank_->compute()), "cudaEventRecord");
    rank_->Track({call.op, -1, call.size_bytes()}, ready, done);
  });
}

void NcclCommunicator::CopyOnCompute(void* to, const void* from, int64_t size_bytes) {
  if (to == from) return;
  rank_->Check(
      cudaMemcpyAsync(to, from, CountOf(size_bytes), cudaMemcpyDeviceToDevice, rank_->compute()),
      "cudaMemcpyAsync");
}

void NcclCommunicator::AllReduce(Payload data, ReduceOp op) {
  RunCollective(
      {.op = CommOp::kAllReduce, .type = data.type.kind(), .reduce = op, .count = data.count},
      "ncclAllReduce", [&] {
        if (world_size() == 1) return ncclSuccess;
        return ncclAllReduce(data.data, data.data, CountOf(data.count), TypeOf(data.type), OpOf(op),
                             comm_, rank_->compute());
      });
}

void NcclCommunicator::AllGather(ConstPayload shard, void* gathered) {
  RunCollective({.op = CommOp::kAllGather, .type = shard.type.kind(), .count = shard.count},
                "ncclAllGather", [&] {
                  if (world_size() == 1) {
                    CopyOnCompute(gathered, shard.data, shard.size_bytes());
                    return ncclSuccess;
                  }
                  return ncclAllGather(shard.data, gathered, CountOf(shard.count),
                                       TypeOf(shard.type), comm_, rank_->compute());
                });
}

void NcclCommunicator::ReduceScatter(const void* input, Payload shard, ReduceOp op) {
  RunCollective(
      {.op = CommOp::kReduceScatter, .type = shard.type.kind(), .reduce = op, .count = shard.count},
      "ncclReduceScatter", [&] {
        if (world_size() == 1) {
          CopyOnCompute(shard.data, input, shard.size_bytes());
          return ncclSuccess;
        }
        return ncclReduceScatter(input, shard.data, CountOf(shard.count), TypeOf(shard.type),
                                 OpOf(op), comm_, rank_->compute());
      });
}

void NcclCommunicator::Broadcast(Payload data, int root) {
  SLUICE_CHECK(root >= 0 && root < world_size());
  RunCollective(
      {.op = CommOp::kBroadcast, .type = data.type.kind(), .root = root, .count = data.count},
      "ncclBroadcast", [&] {
        if (world_size() == 1) return ncclSuccess;
        return ncclBroadcast(data.data, data.data, CountOf(data.count), TypeOf(data.type), root,
                             comm_, rank_->compute());
      });
}

std::unique_ptr<Communicator> NcclCommunicator::Split(SplitKey key) {
  return rank_->Guard([&] {
    std::unique_ptr<Communicator> host = host_.Split(key);
    Communicator& group = *host;
    return std::make_unique<NcclCommunicator>(rank_, std::move(host), group);
  });
}

}  // namespace

std::unique_ptr<Communicator> MakeNcclCommunicator(Communicator& host, cudaStream_t compute,
                                                   GpuUse use) {
  return std::make_unique<NcclCommunicator>(std::make_shared<NcclRank>(host, compute, use), nullptr,
                                            host);
}

}  // namespace sluice
