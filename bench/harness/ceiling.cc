#include "bench/harness/ceiling.h"

#include <algorithm>
#include <limits>
#include <memory>

#include "core/base/rng.h"
#include "core/tensor/convert.h"

namespace sluice {
namespace {

constexpr int kNumRepetitions = 10;
constexpr int64_t kHeadDim = 64;  // one that every device has a kernel for

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
  backend.kernels->Reserve({.max_tokens = size,
                            .max_seq_len = 1,
                            .max_batch_size = 1,
                            .hidden_size = kHeadDim,
                            .num_heads = 1,
                            .head_dim = kHeadDim,
                            .max_features = size});
  const std::unique_ptr<StreamTimer> timer = backend.stream->MakeTimer();
  int64_t best_ns = std::numeric_limits<int64_t>::max();
  for (int i = 0; i <= kNumRepetitions; ++i) {
    timer->Begin();
    backend.kernels->LinearForward({.x = x, .weight = weight, .out = out});
    timer->End();
    const int64_t elapsed_ns = timer->ElapsedNs();
    if (i > 0) best_ns = std::min(best_ns, elapsed_ns);
  }
  return 2.0 * static_cast<double>(size * size * size) / (static_cast<double>(best_ns) * 1e-9);
}

}  // namespace sluice
