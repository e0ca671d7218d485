#include <functional>
#include <memory>

#include "bench/comm/primitives.h"

namespace sluice {
namespace {

struct Buffers {
  Floats sent;
  Floats received;
};

// `source` is the rank that this one receives from.
Exchange MakeExchange(const ExchangeRank& rank, int64_t min_bytes, int source,
                      std::function<void(Buffers&)> run) {
  const int64_t count = PartCount(min_bytes, 1);
  auto buffers = std::make_shared<Buffers>(Buffers{Floats(rank, count), Floats(rank, count)});
  Exchange exchange;
  exchange.size_bytes = buffers->sent.payload().size_bytes();
  exchange.fill = [=, &comm = rank.comm] {
    buffers->sent.FillInput(comm.rank());
    buffers->received.Fill(-1);
  };
  exchange.run = [=] { run(*buffers); };
  exchange.num_wrong = [=] {
    return buffers->received.NumDifferent([source](int64_t i) { return InputValue(source, i); });
  };
  return exchange;
}

Exchange SendRecv(const ExchangeRank& rank, int64_t min_bytes) {
  Communicator& comm = rank.comm;
  if (comm.rank() > 1) {
    comm.Connect({});
    const int64_t size_bytes = PartCount(min_bytes, 1) * static_cast<int64_t>(sizeof(float));
    return {.size_bytes = size_bytes,
            .fill = [] {},
            .run = [] {},
            .num_wrong = [] { return int64_t{0}; }};
  }
  const Peer peer = {.rank = 1 - comm.rank()};
  comm.Connect({&peer.rank, 1});
  return MakeExchange(rank, min_bytes, peer.rank, [&comm, peer](Buffers& buffers) {
    if (comm.rank() == 0) comm.Send(buffers.sent.payload(), peer);
    comm.Recv(buffers.received.payload(), peer);
    if (comm.rank() == 1) comm.Send(buffers.sent.payload(), peer);
  });
}

Exchange RingExchange(const ExchangeRank& rank, int64_t min_bytes) {
  Communicator& comm = rank.comm;
  const int n = comm.world_size();
  const Peer next = {.rank = (comm.rank() + 1) % n};
  const Peer previous = {.rank = (comm.rank() + n - 1) % n};
  comm.Connect({&next.rank, 1});
  return MakeExchange(rank, min_bytes, previous.rank, [&comm, next, previous](Buffers& buffers) {
    const Message messages[] = {SendMessage(buffers.sent.payload(), next),
                                RecvMessage(buffers.received.payload(), previous)};
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
