#include "bench/comm/copies.h"

#include <algorithm>
#include <memory>

namespace sluice {
namespace {

constexpr int kRoot = 0;

int64_t NumWrongRows(const std::vector<float>& gathered, int64_t count) {
  int64_t num_wrong = 0;
  for (int64_t begin = 0; begin < static_cast<int64_t>(gathered.size()); begin += count) {
    num_wrong += NumDifferent(static_cast<int>(begin / count), gathered.data() + begin, count);
  }
  return num_wrong;
}

Exchange AllGather(Communicator& comm, int64_t min_bytes) {
  const int64_t count = PartCount(min_bytes, comm.world_size());
  auto shard = std::make_shared<std::vector<float>>(count);
  auto gathered = std::make_shared<std::vector<float>>(count * comm.world_size());
  return {.size_bytes = PayloadOf(*gathered).size_bytes(),
          .fill =
              [=, rank = comm.rank()] {
                FillInput(rank, shard.get());
                std::fill(gathered->begin(), gathered->end(), -1.f);
              },
          .run = [=, &comm] { comm.AllGather(PayloadOf(*shard), gathered->data()); },
          .num_wrong = [=] { return NumWrongRows(*gathered, count); }};
}

Exchange Broadcast(Communicator& comm, int64_t min_bytes) {
  const int64_t count = PartCount(min_bytes, 1);
  auto data = std::make_shared<std::vector<float>>(count);
  return {.size_bytes = PayloadOf(*data).size_bytes(),
          .fill =
              [=, rank = comm.rank()] {
                std::fill(data->begin(), data->end(), -1.f);
                if (rank == kRoot) FillInput(rank, data.get());
              },
          .run = [=, &comm] { comm.Broadcast(PayloadOf(*data), kRoot); },
          .num_wrong = [=] { return NumDifferent(kRoot, data->data(), count); }};
}

}  // namespace

std::vector<Primitive> CopyPrimitives() {
  return {{.name = "all_gather",
           .prepare = AllGather,
           .bus_factor = [](int n) { return 1.0 * (n - 1) / n; }},
          {.name = "broadcast", .prepare = Broadcast, .bus_factor = [](int) { return 1.0; }}};
}

}  // namespace sluice
