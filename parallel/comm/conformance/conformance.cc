#include "parallel/comm/conformance/conformance.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <thread>

namespace sluice {
namespace {

// More than one block of a reduction, divisible by no small number of ranks.
constexpr int64_t kOddCount = 5003;
// Over every threshold between short and long messages: 2 MiB of float64.
constexpr int64_t kLargeCount = (int64_t{1} << 18) + 1;

template <typename T>
constexpr ElementType TypeOf();
template <>
constexpr ElementType TypeOf<double>() {
  return DType::kFloat64;
}
template <>
constexpr ElementType TypeOf<float>() {
  return DType::kFloat32;
}
template <>
constexpr ElementType TypeOf<int64_t>() {
  return ControlType::kInt64;
}

template <typename T>
Payload In(std::vector<T>& values) {
  return {values.data(), static_cast<int64_t>(values.size()), TypeOf<T>()};
}

template <typename T>
ConstPayload In(const std::vector<T>& values) {
  return {values.data(), static_cast<int64_t>(values.size()), TypeOf<T>()};
}

// The value of element `i` on `rank`: small integers, so that sums over ranks are exact in any
// order, in every type.
int64_t Value(int rank, int64_t i) { return (rank + 1) * (i % 97 + 1) + rank; }

template <typename T>
std::vector<T> Values(int rank, int64_t count, int64_t first = 0) {
  std::vector<T> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = static_cast<T>(Value(rank, first + i));
  return values;
}

template <typename T>
void ExpectEqual(const std::vector<T>& got, const std::vector<T>& expected, std::string_view what) {
  if (got.size() != expected.size()) throw std::logic_error("sizes differ");
  for (size_t i = 0; i < got.size(); ++i) {
    if (!(got[i] == expected[i])) {
      throw std::logic_error(
          fmt::format("{}: element {} is {}, expected {}", what, i, got[i], expected[i]));
    }
  }
}

template <typename T>
std::vector<T> Sums(int world_size, int64_t count, int64_t first = 0) {
  std::vector<T> sums(count, T{0});
  for (int rank = 0; rank < world_size; ++rank) {
    for (int64_t i = 0; i < count; ++i) sums[i] += static_cast<T>(Value(rank, first + i));
  }
  return sums;
}

template <typename T>
void CheckAllReduce(Communicator& comm, int64_t count) {
  std::vector<T> data = Values<T>(comm.rank(), count);
  comm.AllReduce(In(data), ReduceOp::kSum);
  ExpectEqual(data, Sums<T>(comm.world_size(), count), "sum");
  data = Values<T>(comm.rank(), count);
  comm.AllReduce(In(data), ReduceOp::kMax);
  ExpectEqual(data, Values<T>(comm.world_size() - 1, count), "max");
}

void AllReduceIsExact(Communicator& comm) {
  for (int64_t count : {int64_t{1}, int64_t{2}, int64_t{7}, kOddCount, kLargeCount}) {
    CheckAllReduce<double>(comm, count);
    CheckAllReduce<float>(comm, count);
    CheckAllReduce<int64_t>(comm, count);
  }
}

// Terms of very different size: the result depends on the order, which is that of the ranks.
void AllReduceAddsInRankOrder(Communicator& comm) {
  const auto term = [](int rank, int64_t i) {
    return std::ldexp(1.0 + static_cast<double>(i) * 1e-3, (rank * 29 + static_cast<int>(i)) % 60);
  };
  std::vector<double> data(kOddCount);
  std::vector<double> expected(kOddCount);
  for (int64_t i = 0; i < kOddCount; ++i) {
    data[i] = term(comm.rank(), i);
    expected[i] = term(0, i);
    for (int rank = 1; rank < comm.world_size(); ++rank) expected[i] += term(rank, i);
  }
  comm.AllReduce(In(data), ReduceOp::kSum);
  ExpectEqual(data, expected, "sum in rank order");
}

void MaximumKeepsNaN(Communicator& comm) {
  for (int with_nan = 0; with_nan < comm.world_size(); ++with_nan) {
    std::vector<double> data = {comm.rank() == with_nan ? std::numeric_limits<double>::quiet_NaN()
                                                        : 1.0};
    comm.AllReduce(In(data), ReduceOp::kMax);
    if (!std::isnan(data[0])) throw std::logic_error("the maximum lost a NaN");
  }
}

void AllGatherIsByRank(Communicator& comm) {
  for (int64_t count : {int64_t{1}, kOddCount, kLargeCount / 8}) {
    std::vector<float> expected;
    for (int rank = 0; rank < comm.world_size(); ++rank) {
      const std::vector<float> shard = Values<float>(rank, count);
      expected.insert(expected.end(), shard.begin(), shard.end());
    }
    const std::vector<float> mine = Values<float>(comm.rank(), count);
    std::vector<float> gathered(expected.size());
    comm.AllGather(In(mine), gathered.data());
    ExpectEqual(gathered, expected, "out of place");

    std::vector<float> in_place(expected.size());
    float* place = in_place.data() + comm.rank() * count;
    std::copy(mine.begin(), mine.end(), place);
    comm.AllGather({place, count, DType::kFloat32}, in_place.data());
    ExpectEqual(in_place, expected, "in place");
  }
}

void ReduceScatterIsExact(Communicator& comm) {
  for (int64_t count : {int64_t{1}, kOddCount, kLargeCount / 8}) {
    std::vector<double> input = Values<double>(comm.rank(), count * comm.world_size());
    const std::vector<double> expected =
        Sums<double>(comm.world_size(), count, count * comm.rank());
    std::vector<double> shard(count);
    comm.ReduceScatter(input.data(), In(shard), ReduceOp::kSum);
    ExpectEqual(shard, expected, "out of place");

    double* place = input.data() + comm.rank() * count;
    comm.ReduceScatter(input.data(), {place, count, DType::kFloat64}, ReduceOp::kSum);
    ExpectEqual(std::vector<double>(place, place + count), expected, "in place");
  }
}

void BroadcastFromEveryRoot(Communicator& comm) {
  for (int root = 0; root < comm.world_size(); ++root) {
    for (int64_t count : {int64_t{1}, kOddCount, kLargeCount / 8}) {
      std::vector<int64_t> data = Values<int64_t>(comm.rank(), count);
      comm.Broadcast(In(data), root);
      ExpectEqual(data, Values<int64_t>(root, count), "broadcast");
    }
  }
}

// A case of nothing at all is easily forgotten, and a pipeline's empty slice makes one.
void ZeroLength(Communicator& comm) {
  for (int repeat = 0; repeat < 3; ++repeat) {
    comm.AllReduce({nullptr, 0, DType::kFloat32}, ReduceOp::kSum);
    comm.AllGather({nullptr, 0, DType::kFloat32}, nullptr);
    comm.ReduceScatter(nullptr, {nullptr, 0, DType::kFloat64}, ReduceOp::kSum);
    comm.Broadcast({nullptr, 0, DType::kBFloat16}, comm.world_size() - 1);
    const int next = (comm.rank() + 1) % comm.world_size();
    const int previous = (comm.rank() + comm.world_size() - 1) % comm.world_size();
    const Transfer incoming = comm.Irecv({nullptr, 0, DType::kFloat16}, {.rank = previous});
    comm.Send({nullptr, 0, DType::kFloat16}, {.rank = next});
    comm.Wait(incoming);
  }
}

// Around the ring, each way, each type, short and long; a group of one sends to itself.
void RingOfMessages(Communicator& comm) {
  const int next = (comm.rank() + 1) % comm.world_size();
  const int previous = (comm.rank() + comm.world_size() - 1) % comm.world_size();
  for (int64_t count : {int64_t{1}, kOddCount, kLargeCount}) {
    const std::vector<double> mine = Values<double>(comm.rank(), count);
    std::vector<double> from_previous(count);
    std::vector<double> from_next(count);
    const Message messages[] = {
        SendMessage(In(mine), {.rank = next, .tag = 1}),
        SendMessage(In(mine), {.rank = previous, .tag = comm.world_size() > 2 ? kMaxTag : 1}),
        RecvMessage(In(from_previous), {.rank = previous, .tag = 1}),
        RecvMessage(In(from_next), {.rank = next, .tag = comm.world_size() > 2 ? kMaxTag : 1}),
    };
    comm.Wait(comm.Start(messages));
    ExpectEqual(from_previous, Values<double>(previous, count), "from the previous rank");
    ExpectEqual(from_next, Values<double>(next, count), "from the next rank");
  }
  std::vector<uint16_t> halves(7, static_cast<uint16_t>(comm.rank()));
  std::vector<uint16_t> received(7);
  const Transfer incoming = comm.Irecv({received.data(), 7, DType::kBFloat16}, {.rank = previous});
  comm.Send({halves.data(), 7, DType::kBFloat16}, {.rank = next});
  comm.Wait(incoming);
  ExpectEqual(received, std::vector<uint16_t>(7, static_cast<uint16_t>(previous)), "bf16");
}

// Many transfers under way between all pairs, waited for in another order than started.
void ManyOutstandingTransfers(Communicator& comm) {
  constexpr int kMessagesPerPeer = 40;
  const int world_size = comm.world_size();
  std::vector<Transfer> transfers;
  std::vector<std::vector<double>> sent;
  std::vector<std::vector<double>> received;
  const auto count_of = [](int i) { return i % 5 == 0 ? kOddCount : int64_t{i} + 1; };
  for (int i = 0; i < kMessagesPerPeer; ++i) {
    for (int peer = 0; peer < world_size; ++peer) {
      sent.push_back(Values<double>(comm.rank(), count_of(i), i));
      transfers.push_back(comm.Isend(In(sent.back()), {.rank = peer, .tag = i}));
      received.emplace_back(count_of(i));
      transfers.push_back(comm.Irecv(In(received.back()), {.rank = peer, .tag = i}));
    }
  }
  for (size_t i = transfers.size(); i > 0; --i) comm.Wait(transfers[i - 1]);
  comm.Drain();
  for (int i = 0; i < kMessagesPerPeer; ++i) {
    for (int peer = 0; peer < world_size; ++peer) {
      ExpectEqual(received[i * world_size + peer], Values<double>(peer, count_of(i), i),
                  "one of many");
    }
  }
}

// A send of a group may not wait for a receive of the same group, whatever its place in it.
void GroupsDoNotDeadlock(Communicator& comm) {
  std::vector<Message> messages;
  const std::vector<float> mine = Values<float>(comm.rank(), kOddCount);
  std::vector<std::vector<float>> received(comm.world_size(), std::vector<float>(kOddCount));
  for (int peer = 0; peer < comm.world_size(); ++peer) {
    messages.push_back(SendMessage(In(mine), {.rank = peer}));
  }
  for (int peer = comm.world_size() - 1; peer >= 0; --peer) {
    messages.push_back(RecvMessage(In(received[peer]), {.rank = peer}));
  }
  comm.Wait(comm.Start(messages));
  for (int peer = 0; peer < comm.world_size(); ++peer) {
    ExpectEqual(received[peer], Values<float>(peer, kOddCount), "all to all");
  }
}

// Each rank in turn sleeps between two barriers, so no other gets through both in less time.
void BarrierHoldsEveryone(Communicator& comm) {
  constexpr std::chrono::milliseconds kSleep(20);
  for (int late = 0; late < comm.world_size(); ++late) {
    const auto begin = std::chrono::steady_clock::now();
    comm.Barrier();
    if (comm.rank() == late) std::this_thread::sleep_for(kSleep);
    comm.Barrier();
    if (std::chrono::steady_clock::now() - begin < kSleep) {
      throw std::logic_error("left a barrier before the last rank had come");
    }
  }
}

void SplitMakesGroups(Communicator& comm) {
  // Even and odd ranks, in reverse order.
  const std::unique_ptr<Communicator> half =
      comm.Split({.color = comm.rank() % 2, .key = -comm.rank()});
  const int color = comm.rank() % 2;
  const int size = (comm.world_size() + 1 - color) / 2;
  const int position = size - 1 - comm.rank() / 2;
  if (half->world_size() != size || half->rank() != position) {
    throw std::logic_error(fmt::format("rank {} of {} in its half, expected {} of {}", half->rank(),
                                       half->world_size(), position, size));
  }
  if (half->GlobalRank(half->rank()) != comm.GlobalRank(comm.rank())) {
    throw std::logic_error("a rank has another number among all ranks after a split");
  }
  std::vector<int64_t> ranks = {comm.rank()};
  half->AllReduce(In(ranks), ReduceOp::kSum);
  ExpectEqual(ranks, {int64_t{size} * (size - 1) + int64_t{size} * color}, "sum of ranks");

  // A group of a group, and all of them at work between calls of each other.
  const std::unique_ptr<Communicator> alone = half->Split({.color = half->rank(), .key = 0});
  std::vector<int64_t> mine = {comm.rank()};
  alone->AllReduce(In(mine), ReduceOp::kSum);
  half->Barrier();
  comm.Barrier();
  ExpectEqual(mine, {comm.rank()}, "alone");
}

void WaitUntilPolls(Communicator& comm) {
  int num_polls = 0;
  comm.WaitUntil({CommOp::kDrain, -1, 0}, [&] { return ++num_polls == 100; });
  if (num_polls != 100) throw std::logic_error("polled on after the end");
  // Others may be at work meanwhile, and the communicator is as before.
  std::vector<int64_t> ones = {1};
  comm.AllReduce(In(ones), ReduceOp::kSum);
  ExpectEqual(ones, {comm.world_size()}, "after waiting");
}

constexpr ConformanceCase kCases[] = {
    {"AllReduceIsExact", AllReduceIsExact},
    {"AllReduceAddsInRankOrder", AllReduceAddsInRankOrder, ConformanceCase::Of::kCpu},
    {"MaximumKeepsNaN", MaximumKeepsNaN, ConformanceCase::Of::kCpu},
    {"AllGatherIsByRank", AllGatherIsByRank},
    {"ReduceScatterIsExact", ReduceScatterIsExact},
    {"BroadcastFromEveryRoot", BroadcastFromEveryRoot},
    {"ZeroLength", ZeroLength},
    {"RingOfMessages", RingOfMessages},
    {"ManyOutstandingTransfers", ManyOutstandingTransfers},
    {"GroupsDoNotDeadlock", GroupsDoNotDeadlock},
    {"BarrierHoldsEveryone", BarrierHoldsEveryone},
    {"SplitMakesGroups", SplitMakesGroups},
    {"WaitUntilPolls", WaitUntilPolls},
};

bool IsLast(const Communicator& comm) { return comm.rank() == comm.world_size() - 1; }

// Rank 0 sends `sent`, the last rank receives `received`; the others wait for them.
void SendDisagreeing(Communicator& comm, Payload sent, Payload received, int received_tag = 5) {
  comm.SetPosition({.step = 4, .op_index = 2, .label = "Forward(stage=1)"});
  if (comm.rank() == 0) comm.Send(sent, {comm.world_size() - 1, 5});
  if (IsLast(comm)) comm.Recv(received, {.rank = 0, .tag = received_tag});
  comm.Barrier();
}

void SendOfAnotherCount(Communicator& comm) {
  std::vector<float> data(12);
  SendDisagreeing(comm, {data.data(), 10, DType::kFloat32}, {data.data(), 12, DType::kFloat32});
}

void SendOfMore(Communicator& comm) {
  std::vector<float> data(kOddCount);
  SendDisagreeing(comm, In(data), {data.data(), 12, DType::kFloat32});
}

// The same bytes, so that only the type can tell.
void SendOfAnotherType(Communicator& comm) {
  std::vector<double> data(12);
  SendDisagreeing(comm, {data.data(), 12, DType::kFloat64}, {data.data(), 12, ControlType::kInt64});
}

void SendOfAnotherTag(Communicator& comm) {
  std::vector<double> data(12);
  SendDisagreeing(comm, In(data), In(data), 6);
}

void AllReduceOfAnotherCount(Communicator& comm) {
  std::vector<float> data(12);
  comm.AllReduce({data.data(), IsLast(comm) ? 12 : 10, DType::kFloat32}, ReduceOp::kSum);
}

void AllReduceOfAnotherType(Communicator& comm) {
  std::vector<double> data(12);
  comm.AllReduce({data.data(), 12, IsLast(comm) ? DType::kFloat64 : DType::kFloat32},
                 ReduceOp::kSum);
}

void AnotherReduction(Communicator& comm) {
  std::vector<double> data(12);
  comm.AllReduce(In(data), IsLast(comm) ? ReduceOp::kMax : ReduceOp::kSum);
}

void AnotherRoot(Communicator& comm) {
  std::vector<double> data(12);
  comm.Broadcast(In(data), IsLast(comm) ? comm.rank() : 0);
}

void AnotherCollective(Communicator& comm) {
  std::vector<double> data(12);
  if (IsLast(comm)) {
    comm.Broadcast(In(data), 0);
  } else {
    comm.AllReduce(In(data), ReduceOp::kSum);
  }
}

void AllGatherOfAnotherCount(Communicator& comm) {
  const int64_t count = IsLast(comm) ? 12 : 10;
  std::vector<double> data(12);
  std::vector<double> gathered(12 * comm.world_size());
  comm.AllGather({data.data(), count, DType::kFloat64}, gathered.data());
}

const DisagreementCase kDisagreements[] = {
    {"SendOfAnotherCount",
     SendOfAnotherCount,
     {"rank 0 sends 10 f32 with tag 5", "rank {last} receives 12 f32 with tag 5",
      "at step 4, op 2 Forward(stage=1)"}},
    {"SendOfMore",
     SendOfMore,
     {"rank 0 sends 5003 f32 with tag 5", "rank {last} receives 12 f32 with tag 5"}},
    {"SendOfAnotherType", SendOfAnotherType, {"rank 0 sends 12 f64", "receives 12 int64"}},
    {"SendOfAnotherTag",
     SendOfAnotherTag,
     {"rank 0 sends 12 f64 with tag 5", "rank {last} receives 12 f64 with tag 6"}},
    {"AllReduceOfAnotherCount",
     AllReduceOfAnotherCount,
     {"rank 0 calls AllReduce(count 10, f32, sum)",
      "rank {last} calls AllReduce(count 12, f32, sum)"}},
    {"AllReduceOfAnotherType",
     AllReduceOfAnotherType,
     {"rank 0 calls AllReduce(count 12, f32, sum)",
      "rank {last} calls AllReduce(count 12, f64, sum)"}},
    {"AnotherReduction",
     AnotherReduction,
     {"rank 0 calls AllReduce(count 12, f64, sum)",
      "rank {last} calls AllReduce(count 12, f64, max)"}},
    {"AnotherRoot",
     AnotherRoot,
     {"rank 0 calls Broadcast(count 12, f64, root 0)",
      "rank {last} calls Broadcast(count 12, f64, root {last})"}},
    {"AnotherCollective",
     AnotherCollective,
     {"rank 0 calls AllReduce(count 12, f64, sum)",
      "rank {last} calls Broadcast(count 12, f64, root 0)"}},
    {"AllGatherOfAnotherCount",
     AllGatherOfAnotherCount,
     {"rank 0 calls AllGather(count 10, f64)", "rank {last} calls AllGather(count 12, f64)"}},
};

}  // namespace

std::span<const ConformanceCase> ConformanceCases() { return kCases; }

std::span<const DisagreementCase> DisagreementCases() { return kDisagreements; }

}  // namespace sluice
