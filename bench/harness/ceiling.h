// Ceilings: the rates of matrix products that this machine reaches, measured in the same process
// with the same kernels as the rates that are compared with them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "core/backend/backend.h"
#include "core/device/device_monitor.h"

namespace sluice {

// The extent of the square matrices on each kind of device, large enough for the rate to be flat.
int64_t CeilingMatmulSize(DeviceKind device);

// Floating-point operations per second of that product: LinearForward without bias on the backend's
// threads or GPU, in its precision, the fastest of several runs, on a GPU each after a pause. It
// reserves the kernels' scratch memory for itself, so reserve again afterwards. It heats a GPU, so
// call it after what is timed.
double MeasureMatmulRate(Backend& backend, Precision precision);

// The floating-point operations of that product.
double CeilingMatmulFlops(DeviceKind device);

// CPU only. Runs several rounds in which every rank computes that product once, and returns the
// duration of each: from the time when this rank returns from `meet`, a barrier of all ranks, to
// the time when it returns from the next. The maximum over ranks is the duration of all products of
// the round together, even if ranks share a core.
std::vector<double> TimeMatmulRounds(Backend& backend, Precision precision,
                                     const std::function<void()>& meet);

// The rate that a GPU sustains when its power limit lowers its clocks under load.
struct SustainedRate {
  double flops_per_s = 0;
  double best_flops_per_s = 0;                 // of the fastest run
  std::optional<DeviceConditions> conditions;  // while the products ran; CUDA only
};

// The approximate durations of the timed products, and of the untimed ones directly before them.
struct SustainedDurations {
  double warmup_s = 0;
  double timed_s = 0;
};

// Runs the same product back to back, at least ten times; the rate is that of the median time.
SustainedRate MeasureSustainedMatmulRate(Backend& backend, Precision precision,
                                         const SustainedDurations& durations);

// Bytes that each of these functions allocates: three matrices, which it frees again, and scratch
// memory of the kernels.
int64_t CeilingBytes(const BackendOptions& options);

}  // namespace sluice
