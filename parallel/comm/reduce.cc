#include "parallel/comm/reduce.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/base/check.h"
#include "core/base/error.h"

namespace sluice {
namespace {

// Elements summed at a time: the partial result stays in the first-level cache.
constexpr int64_t kBlock = 1024;

template <typename T>
void Accumulate(T* total, const T* more, int64_t count, ReduceOp op) {
  if (op == ReduceOp::kSum) {
    for (int64_t i = 0; i < count; ++i) total[i] += more[i];
  } else {
    // A NaN differs from itself.
    for (int64_t i = 0; i < count; ++i) {
      if (total[i] < more[i] || more[i] != more[i]) total[i] = more[i];
    }
  }
}

template <typename T>
void Reduce(std::span<const void* const> inputs, int64_t count, ReduceOp op,
            std::span<void* const> outputs) {
  T total[kBlock];
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = std::min(kBlock, count - begin);
    const size_t size_bytes = static_cast<size_t>(size) * sizeof(T);
    std::memcpy(total, static_cast<const T*>(inputs[0]) + begin, size_bytes);
    for (const void* input : inputs.subspan(1)) {
      Accumulate(total, static_cast<const T*>(input) + begin, size, op);
    }
    for (void* output : outputs) std::memcpy(static_cast<T*>(output) + begin, total, size_bytes);
  }
}

}  // namespace

void CheckReducible(ElementType type) {
  switch (type.kind()) {
    case ElementType::Kind::kFloat64:
    case ElementType::Kind::kFloat32:
    case ElementType::Kind::kInt64:
      return;
    case ElementType::Kind::kBFloat16:
    case ElementType::Kind::kFloat16:
    case ElementType::Kind::kByte:
      throw Error(fmt::format("the CPU cannot reduce elements of type {}; allowed: f64, f32, int64",
                              type.name()));
  }
}

void ReduceInOrder(std::span<const void* const> inputs, int64_t count, ElementType type,
                   ReduceOp op, std::span<void* const> outputs) {
  SLUICE_CHECK(!inputs.empty());
  switch (type.kind()) {
    case ElementType::Kind::kFloat64:
      return Reduce<double>(inputs, count, op, outputs);
    case ElementType::Kind::kFloat32:
      return Reduce<float>(inputs, count, op, outputs);
    case ElementType::Kind::kInt64:
      return Reduce<int64_t>(inputs, count, op, outputs);
    case ElementType::Kind::kBFloat16:
    case ElementType::Kind::kFloat16:
    case ElementType::Kind::kByte:
      CheckReducible(type);
  }
}

}  // namespace sluice
