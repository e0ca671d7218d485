#include "bench/comm/primitives.h"

namespace sluice {
namespace {

// A barrier has no output to check. The conformance suite tests that no rank leaves it early.
Exchange Barrier(const ExchangeRank& rank, int64_t) {
  return {.size_bytes = 0,
          .fill = [] {},
          .run = [&comm = rank.comm] { comm.Barrier(); },
          .num_wrong = [] { return int64_t{0}; }};
}

}  // namespace

std::vector<Primitive> BarrierPrimitives() {
  return {{.name = "barrier", .prepare = Barrier, .bus_factor = [](int) { return 0.0; }}};
}

}  // namespace sluice
