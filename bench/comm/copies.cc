#include <memory>

#include "bench/comm/primitives.h"

namespace sluice {
namespace {

constexpr int kRoot = 0;

Exchange AllGather(const ExchangeRank& rank, int64_t min_bytes) {
  Communicator& comm = rank.comm;
  const int64_t count = PartCount(min_bytes, comm.world_size());
  auto shard = std::make_shared<Floats>(rank, count);
  auto gathered = std::make_shared<Floats>(rank, count * comm.world_size());
  return {.size_bytes = gathered->payload().size_bytes(),
          .fill =
              [=, &comm] {
                shard->FillInput(comm.rank());
                gathered->Fill(-1);
              },
          .run = [=, &comm] { comm.AllGather(shard->payload(), gathered->data()); },
          .num_wrong =
              [=] {
                return gathered->NumDifferent([count](int64_t i) {
                  return InputValue(static_cast<int>(i / count), i % count);
                });
              }};
}

Exchange Broadcast(const ExchangeRank& rank, int64_t min_bytes) {
  Communicator& comm = rank.comm;
  auto data = std::make_shared<Floats>(rank, PartCount(min_bytes, 1));
  return {.size_bytes = data->payload().size_bytes(),
          .fill = [=, &comm] { comm.rank() == kRoot ? data->FillInput(kRoot) : data->Fill(-1); },
          .run = [=, &comm] { comm.Broadcast(data->payload(), kRoot); },
          .num_wrong =
              [=] { return data->NumDifferent([](int64_t i) { return InputValue(kRoot, i); }); }};
}

}  // namespace

std::vector<Primitive> CopyPrimitives() {
  return {{.name = "all_gather",
           .prepare = AllGather,
           .bus_factor = [](int n) { return 1.0 * (n - 1) / n; }},
          {.name = "broadcast", .prepare = Broadcast, .bus_factor = [](int) { return 1.0; }}};
}

}  // namespace sluice
