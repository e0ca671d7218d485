#include "bench/comm/primitive.h"

#include <algorithm>
#include <vector>

#include "core/base/checked_math.h"

namespace sluice {
namespace {

constexpr int64_t kFloatBytes = sizeof(float);
// Elements on the host at a time.
constexpr int64_t kPart = 1 << 16;

}  // namespace

float InputValue(int rank, int64_t index) {
  return static_cast<float>((31 * int64_t{rank} + index) % kInputPeriod);
}

int64_t PartCount(int64_t min_bytes, int num_parts) {
  return std::max<int64_t>(1, CeilDiv(min_bytes, int64_t{num_parts} * kFloatBytes));
}

namespace {

// Element i is value(i).  In place where it can be: what goes before a timed call should be short.
template <typename Value>
void SetAll(Device& device, float* data, int64_t count, const Value& value) {
  if (device.kind() == DeviceKind::kCpu) {
    for (int64_t i = 0; i < count; ++i) data[i] = value(i);
    return;
  }
  std::vector<float> part;
  for (int64_t begin = 0; begin < count; begin += kPart) {
    const int64_t end = std::min(begin + kPart, count);
    part.clear();
    for (int64_t i = begin; i < end; ++i) part.push_back(value(i));
    device.CopyFromHost(data + begin, part.data(), (end - begin) * kFloatBytes);
  }
}

}  // namespace

Floats::Floats(const ExchangeRank& rank, int64_t count)
    : device_(&rank.device),
      count_(count),
      buffer_(device_->Allocate(count * kFloatBytes, "a message")) {}

void Floats::FillInput(int rank) {
  SetAll(*device_, data(), count_, [rank](int64_t i) { return InputValue(rank, i); });
}

void Floats::Fill(float value) {
  SetAll(*device_, data(), count_, [value](int64_t) { return value; });
}

int64_t Floats::NumDifferent(const std::function<float(int64_t)>& expected) const {
  std::vector<float> part;
  int64_t num_different = 0;
  for (int64_t begin = 0; begin < count_; begin += kPart) {
    part.resize(static_cast<size_t>(std::min(kPart, count_ - begin)));
    device_->CopyToHost(part.data(), data() + begin,
                        static_cast<int64_t>(part.size()) * kFloatBytes);
    int64_t i = begin;
    for (const float got : part) num_different += got != expected(i++) ? 1 : 0;
  }
  return num_different;
}

}  // namespace sluice
