#include "bench/harness/ceiling.h"

#include <algorithm>
#include <limits>

#include "core/base/rng.h"
#include "core/tensor/convert.h"
#include "parallel/comm/rank_status.h"

namespace sluice {
namespace {

constexpr int kNumRepetitions = 10;

// A matrix of random numbers: zeros would run faster than real data on some devices.
Tensor RandomMatrix(Device& device, const Buffer& buffer, DType dtype, int64_t size) {
  const Tensor matrix(buffer.data(), dtype, {size, size});
  std::vector<double> values(static_cast<size_t>(size * size));
  const RandomStream stream(0, "ceiling");
  for (size_t i = 0; i < values.size(); ++i) values[i] = stream.Uniform(i);
  std::vector<char> host(static_cast<size_t>(matrix.num_bytes()));
  ConvertFrom(Tensor(host.data(), dtype, {size, size}), std::span<const double>(values));
  device.CopyFromHost(matrix.data(), host.data(), matrix.num_bytes());
  return matrix;
}

}  // namespace

int64_t CeilingMatmulSize(DeviceKind device) { return device == DeviceKind::kCpu ? 1024 : 8192; }

int64_t CeilingMatmulBytes(DeviceKind device, Precision precision) {
  const int64_t size = CeilingMatmulSize(device);
  return 3 * size * size * SizeOf(StorageDType(precision));
}

double MeasureMatmulRate(Backend& backend, Precision precision) {
  const int64_t size = CeilingMatmulSize(backend.device->kind());
  const DType dtype = StorageDType(precision);
  const int64_t bytes = size * size * SizeOf(dtype);
  const Buffer x_buffer = backend.device->Allocate(bytes, "the matmul ceiling's operand");
  const Buffer weight_buffer = backend.device->Allocate(bytes, "the matmul ceiling's operand");
  const Buffer out_buffer = backend.device->Allocate(bytes, "the matmul ceiling's result");
  const Tensor x = RandomMatrix(*backend.device, x_buffer, dtype, size);
  const Tensor weight = RandomMatrix(*backend.device, weight_buffer, dtype, size);
  const Tensor out(out_buffer.data(), dtype, {size, size});
  int64_t best_ns = std::numeric_limits<int64_t>::max();
  for (int i = 0; i <= kNumRepetitions; ++i) {
    const int64_t begin_ns = MonotonicNs();
    backend.kernels->LinearForward({.x = x, .weight = weight, .out = out});
    backend.stream->Synchronize();
    if (i > 0) best_ns = std::min(best_ns, MonotonicNs() - begin_ns);
  }
  return 2.0 * static_cast<double>(size * size * size) / (static_cast<double>(best_ns) * 1e-9);
}

}  // namespace sluice
