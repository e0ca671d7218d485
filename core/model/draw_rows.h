// Fills tensors with values that are drawn as float64, on several threads, each element rounded
// once to the tensor's type.
//
//   DrawRows(*backend.device, pool, tensor, [&](int64_t row_begin, std::span<double> rows) {
//     FillInput<double>(seed, row_begin * tensor.row_size(), rows);
//   });
//
// Values go from the cache of the thread that drew them to where they stay: on the host, into the
// tensor itself; for another device, into a piece of host memory of some MiB that is used again
// and again.  Copies of whole tensors would cost more than drawing: most of their time is the
// system's, which hands out and clears their pages.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "core/device/cpu/thread_pool.h"
#include "core/device/device.h"
#include "core/tensor/tensor.h"

namespace sluice {

// Writes rows row_begin .. of a tensor to `rows`, as many whole rows as it holds.  Called on
// several threads at once.  What it throws, DrawRows throws.
using RowDrawing = std::function<void(int64_t row_begin, std::span<double> rows)>;

// All rows of a tensor in the device's memory.  Returns when they are there.
void DrawRows(Device& device, ThreadPool& pool, const Tensor& tensor, const RowDrawing& draw);

// The same of a tensor in host memory.
void DrawHostRows(ThreadPool& pool, const Tensor& host, const RowDrawing& draw);

}  // namespace sluice
