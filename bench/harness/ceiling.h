// What this machine can do, measured in the same process through the same kernels: the ceilings
// beside every rate.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "core/backend/backend.h"
#include "core/device/device_monitor.h"

namespace sluice {

// False where the environment has SLUICE_NO_CEILINGS: benchmarks then leave the ceiling and every
// share of it out of their results.  For tools/perf, which compares times: the ceiling would be
// half of what its hundreds of short processes do, and minutes under an emulator that counts.
bool MeasuresCeilings();

// Extent of the square matrix product on each kind of device: large enough for the rate to be flat.
int64_t CeilingMatmulSize(DeviceKind device);

// Floating-point operations a second of that product, the best of several, on a GPU each after a
// pause, as LinearForward without bias on the backend's threads or GPU, in its precision.  The
// kernels' scratch memory is reserved for it: reserve anew.  It leaves a GPU warm, and so comes
// after what is timed.
double MeasureMatmulRate(Backend& backend, Precision precision);

// Floating-point operations of that product.
double CeilingMatmulFlops(DeviceKind device);

// Seconds of each of several rounds in which every rank makes that product once, on the cpu: from
// the rank's own leave of `meet`, which all ranks call together, to its leave of the next.  The
// most over the ranks is what all products of a round took together, however many ranks share a
// core.
std::vector<double> TimeMatmulRounds(Backend& backend, Precision precision,
                                     const std::function<void()>& meet);

// What a GPU keeps up, where its power limit lowers its clocks under load.
struct SustainedRate {
  double flops_per_s = 0;
  double best_flops_per_s = 0;                 // of the fastest
  std::optional<DeviceConditions> conditions;  // while the products ran; absent on the cpu
};

// For about how long products are timed, and run untimed just before.
struct SustainedDurations {
  double warmup_s = 0;
  double timed_s = 0;
};

// The same product run back to back, timed at least ten times; the rate is that of the median of
// its times.
SustainedRate MeasureSustainedMatmulRate(Backend& backend, Precision precision,
                                         const SustainedDurations& durations);

// Bytes that either of them allocates: three matrices, which are freed again, and scratch memory of
// the kernels.
int64_t CeilingBytes(const Backend& backend, Precision precision);

}  // namespace sluice
