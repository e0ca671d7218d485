#include "bench/comm/measure_primitive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "bench/comm/primitives.h"
#include "bench/harness/process_usage.h"
#include "core/device/cpu/cpu_device.h"
#include "parallel/comm/thread/thread_communicator.h"

namespace sluice {
namespace {

std::vector<Primitive> AllPrimitives() {
  std::vector<Primitive> all = BarrierPrimitives();
  for (const auto& group : {PointToPointPrimitives(), ReductionPrimitives(), CopyPrimitives()}) {
    all.insert(all.end(), group.begin(), group.end());
  }
  return all;
}

PrimitiveMeasurement Measure(const Primitive& primitive, int64_t min_bytes, int world_size) {
  PrimitiveMeasurement result;
  RunThreadRanks({.world_size = world_size, .comm = {.timeout_s = 60}}, [&](Communicator& comm) {
    CpuDevice device({.num_threads = 1});
    const std::unique_ptr<Stream> stream = device.MakeStream();
    const PrimitiveMeasurement m = MeasurePrimitive(
        primitive, {.min_bytes = min_bytes, .n_steps = 3}, {comm, device, *stream});
    if (comm.rank() == 0) result = m;
  });
  return result;
}

TEST(MeasurePrimitive, EveryPrimitiveArrivesExactly) {
  for (const Primitive& primitive : AllPrimitives()) {
    for (const int world_size : {2, 3, 8}) {
      for (const int64_t bytes : {1, 8, 1000, 100'000}) {
        SCOPED_TRACE(testing::Message()
                     << primitive.name << ", " << world_size << " ranks, " << bytes << " bytes");
        const PrimitiveMeasurement m = Measure(primitive, bytes, world_size);
        EXPECT_EQ(m.num_wrong, 0);
        EXPECT_THAT(m.elapsed_s, testing::Each(testing::Gt(0)));
        EXPECT_THAT(m.elapsed_s, testing::SizeIs(3));
        EXPECT_THAT(m.cpu_s, testing::SizeIs(3));
        if (primitive.name == "barrier") continue;
        EXPECT_GE(m.size_bytes, bytes);
        EXPECT_LT(m.size_bytes, bytes + 4 * world_size);
      }
    }
  }
}

TEST(MeasurePrimitive, CountsEveryElementThatDidNotArrive) {
  for (Primitive primitive : AllPrimitives()) {
    if (primitive.name == "barrier") continue;
    SCOPED_TRACE(primitive.name);
    static Exchange (*prepare)(const ExchangeRank&, int64_t);
    prepare = primitive.prepare;
    primitive.prepare = [](const ExchangeRank& rank, int64_t min_bytes) {
      Exchange exchange = prepare(rank, min_bytes);
      exchange.run = [] {};
      return exchange;
    };
    // At least half of what all ranks should get, in both checked runs: what a rank already holds,
    // such as the input of the root, is right.
    EXPECT_GE(Measure(primitive, 4096, 2).num_wrong, 1024);
  }
}

// Rank 0 is done at once, rank 1 only after some work.
TEST(MeasurePrimitive, CpuTimeIsOfAllRanksWheneverEachIsDone) {
  constexpr double kWorkS = 0.05;
  Primitive primitive;
  primitive.name = "uneven";
  primitive.prepare = [](const ExchangeRank& rank, int64_t min_bytes) {
    const bool works = rank.comm.rank() == 1;
    return Exchange{.size_bytes = min_bytes,
                    .fill = [] {},
                    .run =
                        [works] {
                          const double begin_s = ProcessCpuSeconds();
                          while (works && ProcessCpuSeconds() - begin_s < kWorkS) {
                          }
                        },
                    .num_wrong = [] { return int64_t{0}; }};
  };
  const PrimitiveMeasurement m = Measure(primitive, 1 << 26, 2);
  EXPECT_EQ(m.num_calls, 1);
  EXPECT_THAT(m.cpu_s, testing::Each(testing::Gt(0.9 * kWorkS)));
}

TEST(MeasurePrimitive, OnlySendRecvIsHeldAgainstMemcpy) {
  for (const Primitive& primitive : AllPrimitives()) {
    EXPECT_EQ(Measure(primitive, 1 << 16, 2).memcpy_s > 0, primitive.name == "send_recv");
  }
}

TEST(BusFactor, OfTwoAndOfEightRanks) {
  std::map<std::string, std::pair<double, double>> factors;
  for (const Primitive& primitive : AllPrimitives()) {
    factors[primitive.name] = {primitive.bus_factor(2), primitive.bus_factor(8)};
  }
  EXPECT_THAT(factors, testing::UnorderedElementsAre(
                           testing::Pair("barrier", testing::Pair(0, 0)),
                           testing::Pair("send_recv", testing::Pair(1, 1)),
                           testing::Pair("ring_exchange", testing::Pair(1, 1)),
                           testing::Pair("all_reduce", testing::Pair(1, 1.75)),
                           testing::Pair("reduce_scatter", testing::Pair(0.5, 0.875)),
                           testing::Pair("all_gather", testing::Pair(0.5, 0.875)),
                           testing::Pair("broadcast", testing::Pair(1, 1))));
}

}  // namespace
}  // namespace sluice
