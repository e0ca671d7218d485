#include <array>
#include <memory>

#include "bench/comm/primitives.h"

namespace sluice {
namespace {

// How many of `values` are not the sums over all ranks of elements first, first + 1, ...
int64_t NumWrongSums(int world_size, const Floats& values, int64_t first) {
  std::array<float, kInputPeriod> sums = {};
  for (int rank = 0; rank < world_size; ++rank) {
    for (int i = 0; i < kInputPeriod; ++i) sums[static_cast<size_t>(i)] += InputValue(rank, i);
  }
  return values.NumDifferent(
      [&](int64_t i) { return sums[static_cast<size_t>((first + i) % kInputPeriod)]; });
}

Exchange AllReduce(const ExchangeRank& rank, int64_t min_bytes) {
  Communicator& comm = rank.comm;
  auto data = std::make_shared<Floats>(rank, PartCount(min_bytes, 1));
  return {.size_bytes = data->payload().size_bytes(),
          .fill = [=, &comm] { data->FillInput(comm.rank()); },
          .run = [=, &comm] { comm.AllReduce(data->payload(), ReduceOp::kSum); },
          .num_wrong = [=, &comm] { return NumWrongSums(comm.world_size(), *data, 0); }};
}

Exchange ReduceScatter(const ExchangeRank& rank, int64_t min_bytes) {
  Communicator& comm = rank.comm;
  const int64_t count = PartCount(min_bytes, comm.world_size());
  auto input = std::make_shared<Floats>(rank, count * comm.world_size());
  auto shard = std::make_shared<Floats>(rank, count);
  return {
      .size_bytes = input->payload().size_bytes(),
      .fill =
          [=, &comm] {
            input->FillInput(comm.rank());
            shard->Fill(-1);
          },
      .run = [=, &comm] { comm.ReduceScatter(input->data(), shard->payload(), ReduceOp::kSum); },
      .num_wrong =
          [=, &comm] { return NumWrongSums(comm.world_size(), *shard, count * comm.rank()); }};
}

}  // namespace

std::vector<Primitive> ReductionPrimitives() {
  return {{.name = "all_reduce",
           .prepare = AllReduce,
           .bus_factor = [](int n) { return 2.0 * (n - 1) / n; }},
          {.name = "reduce_scatter", .prepare = ReduceScatter, .bus_factor = [](int n) {
             return 1.0 * (n - 1) / n;
           }}};
}

}  // namespace sluice
