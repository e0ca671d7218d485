#include "bench/harness/calibration.h"

#include <algorithm>
#include <ctime>
#include <iterator>
#include <numeric>

#include "core/base/check.h"

namespace sluice {
namespace {

// Three matrices of 147 KB: together in a second-level cache, a row of each in the first.
constexpr int kMatrixSize = 192;
constexpr int kNumProducts = 28;
// Three arrays of 4 MB.
constexpr int kStreamLength = 1 << 20;
constexpr int kNumTriads = 6;

// Vectors of the compiler, so that no optimiser's choice decides what is measured.
using FloatVector [[gnu::vector_size(32), gnu::may_alias]] = float;
constexpr int kFloatsPerVector = sizeof(FloatVector) / sizeof(float);

int64_t ThreadCpuNs() {
  timespec now;
  SLUICE_CHECK_EQ(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

Calibration::Calibration()
    : a_(kMatrixSize * kMatrixSize / kFloatsPerVector),
      b_(a_.size()),
      c_(a_.size()),
      x_(kStreamLength / kFloatsPerVector),
      y_(x_.size()),
      z_(x_.size()) {
  Fill(&a_, 61);
  Fill(&b_, 67);
  Fill(&y_, 71);
  Fill(&z_, 73);
}

// Small values that differ between neighbours, so that no product is a copy of another.
void Calibration::Fill(std::vector<Block>* blocks, int period) {
  int i = 0;
  for (Block& block : *blocks) {
    for (float& value : block.values) value = i++ % period / static_cast<float>(period) - 0.5f;
  }
}

double Calibration::Sum(const std::vector<Block>& blocks) {
  double sum = 0;
  for (const Block& block : blocks)
    sum = std::accumulate(block.values, std::end(block.values), sum);
  return sum;
}

int64_t Calibration::Run() {
  const int64_t start_ns = ThreadCpuNs();
  std::fill(c_.begin(), c_.end(), Block{});
  std::fill(x_.begin(), x_.end(), Block{});
  for (int i = 0; i < kNumProducts; ++i) MultiplyMatrices();
  for (int i = 0; i < kNumTriads; ++i) StreamTriad();
  const int64_t cpu_ns = ThreadCpuNs() - start_ns;
  checksum_ = Sum(c_) + Sum(x_);
  min_cpu_ns_ = std::min(min_cpu_ns_, cpu_ns);
  return cpu_ns;
}

// c += a b, a row of c at a time.
void Calibration::MultiplyMatrices() {
  constexpr int kNumVectors = kMatrixSize / kFloatsPerVector;
  for (int i = 0; i < kMatrixSize; ++i) {
    auto* c_row = reinterpret_cast<FloatVector*>(&c_[i * kNumVectors]);
    const float* a_row = reinterpret_cast<const float*>(&a_[i * kNumVectors]);
    for (int k = 0; k < kMatrixSize; ++k) {
      const auto* b_row = reinterpret_cast<const FloatVector*>(&b_[k * kNumVectors]);
      for (int j = 0; j < kNumVectors; ++j) c_row[j] += a_row[k] * b_row[j];
    }
  }
}

// x += y + 0.5 z.
void Calibration::StreamTriad() {
  auto* x = reinterpret_cast<FloatVector*>(x_.data());
  const auto* y = reinterpret_cast<const FloatVector*>(y_.data());
  const auto* z = reinterpret_cast<const FloatVector*>(z_.data());
  for (int i = 0; i < kStreamLength / kFloatsPerVector; ++i) x[i] += y[i] + 0.5f * z[i];
}

}  // namespace sluice
