// Times one primitive for one size on all ranks, and checks what arrives.
//
//   PrimitiveMeasurement m =
//       MeasurePrimitive(primitive, {.min_bytes = 1 << 20}, {comm, device, stream});
//
// A repetition is num_calls runs back to back after a barrier; its time, divided by the number of
// transfers, is the maximum over ranks.  One run before the timed ones and one after are checked to
// the last bit, on every rank.  On a device the calls are captured once and launched as one graph,
// as a step's are, and the time is the device's.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "bench/comm/primitive.h"
#include "bench/harness/cpu_contention.h"
#include "core/device/device_monitor.h"
#include "parallel/comm/communicator.h"

namespace sluice {

struct PrimitiveOptions {
  int64_t min_bytes = 0;  // the exchange may round up
  int64_t n_steps = 10;   // repetitions
};

struct PrimitiveMeasurement {
  int64_t size_bytes = 0;
  int64_t num_calls = 0;          // runs in a repetition
  std::vector<double> elapsed_s;  // [n_steps], of one transfer
  std::vector<double> cpu_s;      // [n_steps], of one transfer: all threads of this process
  int64_t num_wrong = 0;          // elements, all ranks, both checked runs

  // During the repetitions: the largest losses of any rank (CPU), what this rank's GPU did (CUDA).
  std::optional<CpuContention> contention = std::nullopt;
  std::optional<DeviceConditions> conditions = std::nullopt;

  // The median time of std::memcpy of size_bytes by rank 0 while the others rest. 0 if the
  // primitive is not compared with it, and on a GPU.
  double memcpy_s = 0;
};

// All ranks call it and get the same numbers, except memcpy_s, which only rank 0 has.
PrimitiveMeasurement MeasurePrimitive(const Primitive& primitive, const PrimitiveOptions& options,
                                      const ExchangeRank& rank);

}  // namespace sluice
