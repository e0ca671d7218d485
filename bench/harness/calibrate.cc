// Prints what the calibration kernel takes in this process, as JSON: tools/perf starts it twenty
// times to learn whether a machine is quiet enough to measure on.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "bench/harness/calibration.h"
#include "core/cli/main.h"

namespace sluice {
namespace {

int Run() {
  Calibration calibration;
  std::vector<double> cpu_ns(100);
  for (double& value : cpu_ns) value = calibration.CpuSeconds() * 1e9;
  fmt::print("{{\"calibration_version\": {}, \"calibration_cpu_ns\": [{:.0f}]}}\n",
             kCalibrationVersion, fmt::join(cpu_ns, ", "));
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::Main(argc, argv,
                      {.purpose = "Times the frozen calibration kernel a hundred times.",
                       .example = "bazel run //bench/harness:calibrate"},
                      sluice::Run);
}
