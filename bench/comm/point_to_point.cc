#include "bench/comm/point_to_point.h"

#include <algorithm>
#include <memory>

namespace sluice {
namespace {

struct Buffers {
  std::vector<float> sent;
  std::vector<float> received;
};

// `source` is the rank that this one receives from.
Exchange MakeExchange(Communicator& comm, int64_t min_bytes, int source,
                      std::function<void(Buffers&)> run) {
  const auto count = static_cast<size_t>(PartCount(min_bytes, 1));
  auto buffers = std::make_shared<Buffers>();
  buffers->sent.resize(count);
  buffers->received.resize(count);
  Exchange exchange;
  exchange.size_bytes = PayloadOf(buffers->sent).size_bytes();
  exchange.fill = [=, rank = comm.rank()] {
    FillInput(rank, &buffers->sent);
    std::fill(buffers->received.begin(), buffers->received.end(), -1.f);
  };
  exchange.run = [=] { run(*buffers); };
  exchange.num_wrong = [=] {
    return NumDifferent(source, buffers->received.data(), static_cast<int64_t>(count));
  };
  return exchange;
}

Exchange SendRecv(Communicator& comm, int64_t min_bytes) {
  if (comm.rank() > 1) {
    const int64_t size_bytes = PartCount(min_bytes, 1) * static_cast<int64_t>(sizeof(float));
    return {.size_bytes = size_bytes,
            .fill = [] {},
            .run = [] {},
            .num_wrong = [] { return int64_t{0}; }};
  }
  const Peer peer = {.rank = 1 - comm.rank()};
  return MakeExchange(comm, min_bytes, peer.rank, [&comm, peer](Buffers& buffers) {
    if (comm.rank() == 0) comm.Send(PayloadOf(buffers.sent), peer);
    comm.Recv(PayloadOf(buffers.received), peer);
    if (comm.rank() == 1) comm.Send(PayloadOf(buffers.sent), peer);
  });
}

Exchange RingExchange(Communicator& comm, int64_t min_bytes) {
  const int n = comm.world_size();
  const Peer next = {.rank = (comm.rank() + 1) % n};
  const Peer previous = {.rank = (comm.rank() + n - 1) % n};
  return MakeExchange(comm, min_bytes, previous.rank, [&comm, next, previous](Buffers& buffers) {
    const Message messages[] = {SendMessage(PayloadOf(buffers.sent), next),
                                RecvMessage(PayloadOf(buffers.received), previous)};
    comm.Wait(comm.Start(messages));
  });
}

}  // namespace

std::vector<Primitive> PointToPointPrimitives() {
  const auto whole = [](int) { return 1.0; };
  return {{.name = "send_recv",
           .prepare = SendRecv,
           .bus_factor = whole,
           .num_transfers = 2,
           .copies = Primitive::Copies::kOneToOne},
          {.name = "ring_exchange", .prepare = RingExchange, .bus_factor = whole}};
}

}  // namespace sluice
