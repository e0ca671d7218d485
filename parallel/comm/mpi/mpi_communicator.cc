#include "parallel/comm/mpi/mpi_communicator.h"

#include <fmt/format.h>
#include <mpi.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "parallel/comm/collective.h"
#include "parallel/comm/comm_error.h"
#include "parallel/comm/mpi/mpi_process.h"
#include "parallel/comm/mpi/rank_monitor.h"
#include "parallel/comm/reduce.h"
#include "parallel/comm/request_pool.h"

namespace sluice {
namespace {

using internal::MpiProcess;

// Up to here a reduction sends everything to everyone: one round instead of two.
constexpr int64_t kShortReductionBytes = 2048;

// MPI's tag holds the message's own tag and above it the element type.
constexpr int kTagBits = 24;
static_assert(kMaxTag == (1 << kTagBits) - 1);

// Tags in the collectives' own MPI communicator.
constexpr int kHeaderTag = 1;
constexpr int kDataTag = 2;

MPI_Datatype TypeOfSize(int64_t size_bytes) {
  switch (size_bytes) {
    case 1:
      return MPI_UINT8_T;
    case 2:
      return MPI_UINT16_T;
    case 4:
      return MPI_UINT32_T;
    default:
      SLUICE_CHECK_EQ(size_bytes, 8);
      return MPI_UINT64_T;
  }
}

// MPI counts elements in an int.
int CountOf(int64_t count) {
  SLUICE_CHECK(count >= 0);
  if (count > std::numeric_limits<int>::max()) {
    throw Error(fmt::format("a message of {} elements is too long for MPI; allowed: {}", count,
                            std::numeric_limits<int>::max()));
  }
  return static_cast<int>(count);
}

int MpiTag(ElementType type, int tag) { return (static_cast<int>(type.kind()) << kTagBits) | tag; }

struct Request {
  MPI_Request mpi = MPI_REQUEST_NULL;
  Message message;
  bool done = false;
  Request* next = nullptr;
  int64_t index = 0;
  int64_t transfer_id = -1;
};

class MpiCommunicator : public Communicator {
 public:
  // Takes `group` over, and makes two communicators of its own of it: one for messages, one for
  // collectives.
  MpiCommunicator(MpiProcess& process, MPI_Comm group, std::vector<int> global_ranks, int rank);
  ~MpiCommunicator() override;

  int GlobalRank(int rank) const override { return global_ranks_[rank]; }

  Transfer Start(std::span<const Message> messages) override;
  void Wait(Transfer transfer) override;
  void AllReduce(Payload data, ReduceOp op) override;
  void AllGather(ConstPayload shard, void* gathered) override;
  void ReduceScatter(const void* input, Payload shard, ReduceOp op) override;
  void Broadcast(Payload data, int root) override;
  void Barrier() override;
  std::unique_ptr<Communicator> Split(SplitKey key) override;
  void Drain() override { SLUICE_CHECK_EQ(requests_.num_outstanding(), 0); }
  void WaitUntil(const CommCall& call, const std::function<bool()>& done) override;
  void ReportFault(std::exception_ptr fault) override;

 private:
  // A request of a collective, and the member it goes to or comes from.
  struct PeerRequest {
    MPI_Request mpi;
    int peer;
  };

  Request* TakeRequest(const Message& message);
  void Post(Request* request);
  void WaitFor(Request* request);
  void CheckReceived(const Request& request, const MPI_Status& mpi_status);

  // Starts the exchange of headers; EndCollective completes and compares them, then completes the
  // data.
  void BeginCollective(const CollectiveCall& call);
  void SendData(const void* data, int64_t count, ElementType type, int peer);
  void ReceiveData(void* data, int64_t count, ElementType type, int peer);
  void WaitForAll(std::vector<PeerRequest>& requests);
  void FinishHeaders();
  void EndCollective();
  // Sums everyone's whole buffers in one round.
  void ShortAllReduce(Payload data, ReduceOp op);
  // Memory for `count` elements of each other member; grows, so a warmed-up step allocates nothing.
  std::byte* Scratch(int64_t size_bytes);

  MpiProcess& process_;
  MPI_Comm messages_ = MPI_COMM_NULL;
  MPI_Comm collectives_ = MPI_COMM_NULL;
  std::vector<int> global_ranks_;
  RequestPool<Request> requests_;

  CollectiveCall call_;
  std::vector<CollectiveCall> headers_;
  std::vector<PeerRequest> header_requests_;
  std::vector<PeerRequest> data_requests_;
  std::vector<std::byte> scratch_;
  std::vector<const void*> inputs_;
};

MpiCommunicator::MpiCommunicator(MpiProcess& process, MPI_Comm group, std::vector<int> global_ranks,
                                 int rank)
    : Communicator(rank, static_cast<int>(global_ranks.size()), &process.status()),
      process_(process),
      messages_(group),
      global_ranks_(std::move(global_ranks)),
      headers_(global_ranks_.size()),
      inputs_(global_ranks_.size()) {
  process_.Check(MPI_Comm_dup(messages_, &collectives_), "MPI_Comm_dup");
  header_requests_.reserve(2 * global_ranks_.size());
  data_requests_.reserve(2 * global_ranks_.size());
}

MpiCommunicator::~MpiCommunicator() {
  // After a fault MPI may wait for ranks that are gone.
  if (std::uncaught_exceptions() > 0) return;
  MPI_Comm_free(&collectives_);
  MPI_Comm_free(&messages_);
}

Request* MpiCommunicator::TakeRequest(const Message& message) {
  SLUICE_CHECK(message.peer.rank >= 0 && message.peer.rank < world_size());
  SLUICE_CHECK(message.peer.tag >= 0 && message.peer.tag <= kMaxTag);
  Request* request = requests_.Take();
  request->message = message;
  request->done = false;
  return request;
}

void MpiCommunicator::Post(Request* request) {
  const Message& message = request->message;
  const Payload& payload = message.payload;
  const int count = CountOf(payload.count);
  const MPI_Datatype type = TypeOfSize(payload.type.size_bytes());
  const int tag = MpiTag(payload.type, message.peer.tag);
  const int peer = message.peer.rank;
  if (message.direction == Direction::kRecv) {
    process_.Check(
        MPI_Irecv(payload.data, count, type, peer, MPI_ANY_TAG, messages_, &request->mpi),
        "MPI_Irecv");
  } else if (process_.options().send_mode == SendMode::kRendezvous) {
    process_.Check(MPI_Issend(payload.data, count, type, peer, tag, messages_, &request->mpi),
                   "MPI_Issend");
  } else {
    process_.Check(MPI_Isend(payload.data, count, type, peer, tag, messages_, &request->mpi),
                   "MPI_Isend");
  }
}

Transfer MpiCommunicator::Start(std::span<const Message> messages) {
  if (messages.empty()) return {};
  Request* first = nullptr;
  Request* last = nullptr;
  for (const Message& message : messages) {
    Request* request = TakeRequest(message);
    (first == nullptr ? first : last->next) = request;
    last = request;
    Post(request);
  }
  return requests_.Begin(first);
}

void MpiCommunicator::CheckReceived(const Request& request, const MPI_Status& mpi_status) {
  const Message& message = request.message;
  const Payload& payload = message.payload;
  MPI_Count size_bytes = 0;
  process_.Check(MPI_Get_elements_x(&mpi_status, MPI_BYTE, &size_bytes), "MPI_Get_elements_x");
  if (size_bytes == payload.size_bytes() &&
      mpi_status.MPI_TAG == MpiTag(payload.type, message.peer.tag)) {
    return;
  }
  const ElementType sent(static_cast<ElementType::Kind>(mpi_status.MPI_TAG >> kTagBits));
  const int sender = GlobalRank(message.peer.rank);
  const int receiver = GlobalRank(rank());
  throw CommError(DescribeDisagreement(
                      {sender, DescribeMessage(Direction::kSend, size_bytes / sent.size_bytes(),
                                               sent, mpi_status.MPI_TAG & kMaxTag, receiver)},
                      {receiver, DescribeMessage(Direction::kRecv, payload.count, payload.type,
                                                 message.peer.tag, sender)},
                      status().DescribePosition()),
                  kFaultExitCode);
}

void MpiCommunicator::WaitFor(Request* request) {
  const Message& message = request->message;
  const bool sends = message.direction == Direction::kSend;
  status().BeginWait({sends ? CommOp::kSend : CommOp::kRecv, GlobalRank(message.peer.rank),
                      message.payload.size_bytes()});
  MPI_Status mpi_status{};
  process_.WaitUntil([&] {
    int done = 0;
    const int code = MPI_Test(&request->mpi, &done, &mpi_status);
    // If a message is longer than its receive, the status still states the size that was sent.
    int error_class = MPI_SUCCESS;
    MPI_Error_class(code, &error_class);
    if (error_class == MPI_ERR_TRUNCATE) return true;
    process_.Check(code, "MPI_Test");
    return done != 0;
  });
  if (!sends) CheckReceived(*request, mpi_status);
  status().EndWait();
}

void MpiCommunicator::Wait(Transfer transfer) {
  if (transfer.id < 0) return;
  Request* const first = requests_.First(transfer);
  for (Request* request = first; request != nullptr; request = request->next) WaitFor(request);
  requests_.End(first);
}

void MpiCommunicator::BeginCollective(const CollectiveCall& call) {
  call_ = call;
  headers_[rank()] = call;
  header_requests_.clear();
  data_requests_.clear();
  for (int peer = 0; peer < world_size(); ++peer) {
    if (peer == rank()) continue;
    MPI_Request request;
    process_.Check(MPI_Irecv(&headers_[peer], sizeof(CollectiveCall), MPI_BYTE, peer, kHeaderTag,
                             collectives_, &request),
                   "MPI_Irecv");
    header_requests_.push_back({request, peer});
  }
  for (int peer = 0; peer < world_size(); ++peer) {
    if (peer == rank()) continue;
    MPI_Request request;
    process_.Check(MPI_Isend(&call_, sizeof(CollectiveCall), MPI_BYTE, peer, kHeaderTag,
                             collectives_, &request),
                   "MPI_Isend");
    header_requests_.push_back({request, peer});
  }
  status().BeginWait({call.op, -1, call.size_bytes()});
}

void MpiCommunicator::SendData(const void* data, int64_t count, ElementType type, int peer) {
  MPI_Request request;
  process_.Check(MPI_Isend(data, CountOf(count), TypeOfSize(type.size_bytes()), peer, kDataTag,
                           collectives_, &request),
                 "MPI_Isend");
  data_requests_.push_back({request, peer});
}

void MpiCommunicator::ReceiveData(void* data, int64_t count, ElementType type, int peer) {
  MPI_Request request;
  process_.Check(MPI_Irecv(data, CountOf(count), TypeOfSize(type.size_bytes()), peer, kDataTag,
                           collectives_, &request),
                 "MPI_Irecv");
  data_requests_.push_back({request, peer});
}

void MpiCommunicator::WaitForAll(std::vector<PeerRequest>& requests) {
  for (PeerRequest& request : requests) {
    status().SetWaitPeer(GlobalRank(request.peer));
    process_.WaitUntil([&] {
      int done = 0;
      process_.Check(MPI_Test(&request.mpi, &done, MPI_STATUS_IGNORE), "MPI_Test");
      return done != 0;
    });
  }
  requests.clear();
}

void MpiCommunicator::FinishHeaders() {
  WaitForAll(header_requests_);
  for (int peer = 1; peer < world_size(); ++peer) {
    if (headers_[peer] == headers_[0]) continue;
    throw CommError(DescribeDisagreement({GlobalRank(0), "calls " + Describe(headers_[0])},
                                         {GlobalRank(peer), "calls " + Describe(headers_[peer])},
                                         status().DescribePosition()),
                    kFaultExitCode);
  }
}

void MpiCommunicator::EndCollective() {
  FinishHeaders();
  WaitForAll(data_requests_);
  status().SetWaitPeer(-1);
}

std::byte* MpiCommunicator::Scratch(int64_t size_bytes) {
  if (scratch_.size() < static_cast<size_t>(size_bytes)) scratch_.resize(size_bytes);
  return scratch_.data();
}

void MpiCommunicator::ShortAllReduce(Payload data, ReduceOp op) {
  std::byte* scratch = Scratch(data.size_bytes() * world_size());
  for (int peer = 0; peer < world_size(); ++peer) {
    inputs_[peer] = data.data;
    if (peer == rank()) continue;
    inputs_[peer] = scratch + peer * data.size_bytes();
    ReceiveData(scratch + peer * data.size_bytes(), data.count, data.type, peer);
    SendData(data.data, data.count, data.type, peer);
  }
  EndCollective();
  ReduceInOrder(inputs_, data.count, data.type, op, {&data.data, 1});
  status().EndWait();
}

void MpiCommunicator::AllReduce(Payload data, ReduceOp op) {
  CheckReducible(data.type);
  BeginCollective(
      {.op = CommOp::kAllReduce, .type = data.type.kind(), .reduce = op, .count = data.count});
  if (data.size_bytes() <= kShortReductionBytes) return ShortAllReduce(data, op);

  // Each rank gets everyone's values of its own part, reduces them and gives the result to all.
  std::byte* const bytes = static_cast<std::byte*>(data.data);
  const auto begin_of = [&](int member) { return data.count * member / world_size(); };
  const auto count_of = [&](int member) { return begin_of(member + 1) - begin_of(member); };
  const auto place_of = [&](int member) {
    return bytes + begin_of(member) * data.type.size_bytes();
  };
  const int64_t own_count = count_of(rank());
  const int64_t own_bytes = own_count * data.type.size_bytes();
  std::byte* scratch = Scratch(own_bytes * world_size());
  for (int peer = 0; peer < world_size(); ++peer) {
    inputs_[peer] = place_of(rank());
    if (peer == rank()) continue;
    inputs_[peer] = scratch + peer * own_bytes;
    ReceiveData(scratch + peer * own_bytes, own_count, data.type, peer);
    SendData(place_of(peer), count_of(peer), data.type, peer);
  }
  EndCollective();
  void* own = place_of(rank());
  ReduceInOrder(inputs_, own_count, data.type, op, {&own, 1});
  for (int peer = 0; peer < world_size(); ++peer) {
    if (peer == rank()) continue;
    ReceiveData(place_of(peer), count_of(peer), data.type, peer);
    SendData(own, own_count, data.type, peer);
  }
  WaitForAll(data_requests_);
  status().EndWait();
}

void MpiCommunicator::AllGather(ConstPayload shard, void* gathered) {
  BeginCollective({.op = CommOp::kAllGather, .type = shard.type.kind(), .count = shard.count});
  for (int peer = 0; peer < world_size(); ++peer) {
    std::byte* place = static_cast<std::byte*>(gathered) + peer * shard.size_bytes();
    if (peer != rank()) {
      ReceiveData(place, shard.count, shard.type, peer);
      SendData(shard.data, shard.count, shard.type, peer);
    } else if (place != shard.data && shard.count > 0) {
      std::memcpy(place, shard.data, shard.size_bytes());
    }
  }
  EndCollective();
  status().EndWait();
}

void MpiCommunicator::ReduceScatter(const void* input, Payload shard, ReduceOp op) {
  CheckReducible(shard.type);
  BeginCollective({.op = CommOp::kReduceScatter,
                   .type = shard.type.kind(),
                   .reduce = op,
                   .count = shard.count});
  const auto row = [&](int member) {
    return static_cast<const std::byte*>(input) + member * shard.size_bytes();
  };
  std::byte* scratch = Scratch(shard.size_bytes() * world_size());
  for (int peer = 0; peer < world_size(); ++peer) {
    inputs_[peer] = row(rank());
    if (peer == rank()) continue;
    inputs_[peer] = scratch + peer * shard.size_bytes();
    ReceiveData(scratch + peer * shard.size_bytes(), shard.count, shard.type, peer);
    SendData(row(peer), shard.count, shard.type, peer);
  }
  EndCollective();
  ReduceInOrder(inputs_, shard.count, shard.type, op, {&shard.data, 1});
  status().EndWait();
}

void MpiCommunicator::Broadcast(Payload data, int root) {
  SLUICE_CHECK(root >= 0 && root < world_size());
  BeginCollective(
      {.op = CommOp::kBroadcast, .type = data.type.kind(), .root = root, .count = data.count});
  // Only once all agree who sends does anyone receive into memory of the caller.
  FinishHeaders();
  if (rank() != root) {
    ReceiveData(data.data, data.count, data.type, root);
  } else {
    for (int peer = 0; peer < world_size(); ++peer) {
      if (peer != root) SendData(data.data, data.count, data.type, peer);
    }
  }
  WaitForAll(data_requests_);
  status().EndWait();
}

void MpiCommunicator::Barrier() {
  BeginCollective({.op = CommOp::kBarrier});
  EndCollective();
  status().EndWait();
}

std::unique_ptr<Communicator> MpiCommunicator::Split(SplitKey key) {
  // MPI's own calls have no deadline: they follow a barrier, when all ranks are here.
  BeginCollective({.op = CommOp::kSplit});
  EndCollective();
  status().EndWait();
  MPI_Comm group = MPI_COMM_NULL;
  process_.Check(MPI_Comm_split(messages_, key.color, key.key, &group), "MPI_Comm_split");
  process_.Check(MPI_Comm_set_errhandler(group, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  int size = 0;
  int rank_in_group = 0;
  process_.Check(MPI_Comm_size(group, &size), "MPI_Comm_size");
  process_.Check(MPI_Comm_rank(group, &rank_in_group), "MPI_Comm_rank");
  const int global_rank = process_.rank();
  std::vector<int> global_ranks(size);
  process_.Check(MPI_Allgather(&global_rank, 1, MPI_INT, global_ranks.data(), 1, MPI_INT, group),
                 "MPI_Allgather");
  return std::make_unique<MpiCommunicator>(process_, group, std::move(global_ranks), rank_in_group);
}

void MpiCommunicator::WaitUntil(const CommCall& call, const std::function<bool()>& done) {
  status().BeginWait(call);
  process_.WaitUntil(done);
  status().EndWait();
}

void RunAllRanks(MpiProcess& process, const std::function<void(Communicator&)>& run_rank) {
  int size = 0;
  process.Check(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size");
  std::vector<int> global_ranks(size);
  for (int rank = 0; rank < size; ++rank) global_ranks[rank] = rank;
  MPI_Comm everyone = MPI_COMM_NULL;
  process.Check(MPI_Comm_dup(MPI_COMM_WORLD, &everyone), "MPI_Comm_dup");
  MpiCommunicator comm(process, everyone, std::move(global_ranks), process.rank());
  run_rank(comm);
}

struct Fault {
  std::string message;
  int exit_code;
};

Fault DescribeFault(int rank, const RankStatus& status, std::exception_ptr fault) {
  const std::string who = fmt::format("rank {}: ", rank);
  const std::string where = fmt::format(" ({})", status.DescribePosition());
  try {
    std::rethrow_exception(fault);
  } catch (const CommError& error) {
    return {error.what(), error.exit_code()};
  } catch (const Error& error) {
    return {who + error.what(), kBadInputExitCode};
  } catch (const std::exception& error) {
    return {who + error.what() + where, kFaultExitCode};
  } catch (...) {
    return {who + "unknown exception" + where, kFaultExitCode};
  }
}

// Prints the message and ends the process without a word to MPI, which could wait for ranks that
// are gone.  The launcher sees the code and ends the others.
[[noreturn]] void EndWithFault(internal::RankBoard& board, int rank, const Fault& fault) {
  // What all ranks notice is told by the first of them; the launcher has then ended the others.
  if (rank > 0) usleep(200'000);
  const std::string line = "error: " + fault.message + "\n";
  board.has_reported.store(true);
  std::fflush(nullptr);
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) _exit(fault.exit_code);
  _exit(fault.exit_code);
}

void MpiCommunicator::ReportFault(std::exception_ptr fault) {
  EndWithFault(process_.board(), process_.rank(),
               DescribeFault(process_.rank(), status(), std::move(fault)));
}

}  // namespace

int RunMpiRank(const CommOptions& options, const std::function<void(Communicator&)>& run_rank) {
  const internal::LaunchedRank launched = internal::GetLaunchedRank();
  const internal::MonitoredRank monitored =
      internal::ForkMonitoredRank(launched, options.timeout_s);
  SetCurrentRank(launched.rank);
  try {
    MpiProcess process(options, monitored);
    RunAllRanks(process, run_rank);
    process.Finish();
    return 0;
  } catch (...) {
    EndWithFault(*monitored.board, launched.rank,
                 DescribeFault(launched.rank, monitored.board->status, std::current_exception()));
  }
}

bool IsLaunched() { return internal::IsLaunched(); }

int MpiLocalRank() { return internal::GetLaunchedRank().local_rank; }

int MpiRank() { return internal::GetLaunchedRank().rank; }

int MpiWorldSize() { return internal::GetLaunchedRank().world_size; }

int MpiLocalWorldSize() { return internal::GetLaunchedRank().num_local; }

}  // namespace sluice
