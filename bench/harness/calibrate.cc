// Prints what the calibration kernel takes in this process, as JSON: tools/perf starts it twenty
// times to learn whether a machine is quiet enough to measure on.
#include <fmt/format.h>

#include "bench/harness/calibration.h"

int main() {
  sluice::Calibration calibration;
  for (int i = 0; i < 3; ++i) calibration.Run();
  fmt::print("{{\"calibration_version\": {}, \"calibration_cpu_ns\": {}}}\n",
             sluice::kCalibrationVersion, calibration.min_cpu_ns());
}
