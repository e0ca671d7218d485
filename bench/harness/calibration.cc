#include "bench/harness/calibration.h"

#include <ctime>
#include <vector>

#include "core/base/check.h"
#include "core/base/median.h"

namespace sluice {
namespace {

constexpr int kNumRuns = 5;
constexpr int kNumRounds = 32'768;

// An explicit vector type, so that the measured work does not depend on auto-vectorisation.
using FloatVector [[gnu::vector_size(32)]] = float;
constexpr int kFloatsPerVector = sizeof(FloatVector) / sizeof(float);

double ThreadCpuSeconds() {
  timespec time = {};
  SLUICE_CHECK_EQ(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time), 0);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace

double Calibration::CpuSeconds() {
  std::vector<double> cpu_s(kNumRuns);
  for (double& run : cpu_s) {
    const double begin_s = ThreadCpuSeconds();
    MultiplyAdd();
    run = ThreadCpuSeconds() - begin_s;
  }
  return Median(cpu_s);
}

// Eight independent sums, as many as hide the latency of a multiply-add, all in registers.
void Calibration::MultiplyAdd() {
  const FloatVector factor = FloatVector{} + factor_;
  const FloatVector addend = FloatVector{} + addend_;
  FloatVector a = {}, b = {}, c = {}, d = {}, e = {}, f = {}, g = {}, h = {};
  for (int i = 0; i < kNumRounds; ++i) {
    a = a * factor + addend;
    b = b * factor + addend;
    c = c * factor + addend;
    d = d * factor + addend;
    e = e * factor + addend;
    f = f * factor + addend;
    g = g * factor + addend;
    h = h * factor + addend;
  }
  const FloatVector sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
  for (int i = 0; i < kFloatsPerVector; ++i) checksum_ += sum[i];
}

}  // namespace sluice
