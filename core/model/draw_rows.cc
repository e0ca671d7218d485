#include "core/model/draw_rows.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

#include "core/tensor/convert.h"

namespace sluice {
namespace {

// Drawn at a time by a thread: less than its cache holds, and enough to hide the call.
constexpr int64_t kDrawnElements = 1 << 13;
// Copied at a time.
constexpr int64_t kCopiedBytes = 8 << 20;

// Calls functions on threads of a pool, which must not throw, and keeps the first exception.
class FirstException {
 public:
  template <typename Function>
  void Call(const Function& function) {
    try {
      function();
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!exception_) exception_ = std::current_exception();
    }
  }

  void RethrowIfAny() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr exception_;
};

void DrawRange(const Tensor& host, const RowDrawing& draw, int64_t begin, int64_t end) {
  const int64_t rows_at_a_time = std::max<int64_t>(1, kDrawnElements / host.row_size());
  std::vector<double> values(
      static_cast<size_t>(std::min(rows_at_a_time, end - begin) * host.row_size()));
  for (int64_t row = begin; row < end; row += rows_at_a_time) {
    const int64_t num_rows = std::min(rows_at_a_time, end - row);
    const auto rows = std::span(values).first(static_cast<size_t>(num_rows * host.row_size()));
    draw(row, rows);
    ConvertFrom(host.Rows(row, num_rows), std::span<const double>(rows));
  }
}

}  // namespace

void DrawHostRows(ThreadPool& pool, const Tensor& host, const RowDrawing& draw) {
  if (host.num_elements() == 0) return;
  FirstException first_exception;
  pool.ParallelFor(host.num_rows(), 1, [&](int64_t begin, int64_t end) {
    first_exception.Call([&] { DrawRange(host, draw, begin, end); });
  });
  first_exception.RethrowIfAny();
}

void DrawRows(Device& device, ThreadPool& pool, const Tensor& tensor, const RowDrawing& draw) {
  if (device.kind() == DeviceKind::kCpu) return DrawHostRows(pool, tensor, draw);
  if (tensor.num_elements() == 0) return;
  const int64_t row_bytes = tensor.num_bytes() / tensor.num_rows();
  const int64_t rows_at_a_time =
      std::min(tensor.num_rows(), std::max<int64_t>(1, kCopiedBytes / row_bytes));
  const auto host =
      std::make_unique_for_overwrite<char[]>(static_cast<size_t>(rows_at_a_time * row_bytes));
  for (int64_t row = 0; row < tensor.num_rows(); row += rows_at_a_time) {
    const Tensor piece = tensor.Rows(row, std::min(rows_at_a_time, tensor.num_rows() - row));
    DrawHostRows(pool, Tensor(host.get(), piece.dtype(), piece.shape()),
                 [&](int64_t row_begin, std::span<double> rows) { draw(row + row_begin, rows); });
    device.CopyFromHost(piece.data(), host.get(), piece.num_bytes());
  }
}

}  // namespace sluice
