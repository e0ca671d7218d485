#include "bench/comm/reductions.h"

#include <algorithm>
#include <array>
#include <memory>

namespace sluice {
namespace {

// How many of `values` are not the sums over all ranks of elements first, first + 1, ...
int64_t NumWrongSums(int world_size, const std::vector<float>& values, int64_t first) {
  std::array<float, kInputPeriod> sums = {};
  for (int rank = 0; rank < world_size; ++rank) {
    for (int i = 0; i < kInputPeriod; ++i) sums[static_cast<size_t>(i)] += InputValue(rank, i);
  }
  int64_t num_wrong = 0;
  int64_t index = first;
  for (const float value : values) {
    num_wrong += value != sums[static_cast<size_t>(index++ % kInputPeriod)] ? 1 : 0;
  }
  return num_wrong;
}

Exchange AllReduce(Communicator& comm, int64_t min_bytes) {
  auto data = std::make_shared<std::vector<float>>(PartCount(min_bytes, 1));
  return {.size_bytes = PayloadOf(*data).size_bytes(),
          .fill = [=, rank = comm.rank()] { FillInput(rank, data.get()); },
          .run = [=, &comm] { comm.AllReduce(PayloadOf(*data), ReduceOp::kSum); },
          .num_wrong = [=, n = comm.world_size()] { return NumWrongSums(n, *data, 0); }};
}

Exchange ReduceScatter(Communicator& comm, int64_t min_bytes) {
  const int64_t count = PartCount(min_bytes, comm.world_size());
  auto input = std::make_shared<std::vector<float>>(count * comm.world_size());
  auto shard = std::make_shared<std::vector<float>>(count);
  return {
      .size_bytes = PayloadOf(*input).size_bytes(),
      .fill =
          [=, rank = comm.rank()] {
            FillInput(rank, input.get());
            std::fill(shard->begin(), shard->end(), -1.f);
          },
      .run = [=, &comm] { comm.ReduceScatter(input->data(), PayloadOf(*shard), ReduceOp::kSum); },
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
