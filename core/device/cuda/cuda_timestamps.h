// Timestamps of a CUDA stream, each a CUDA event.
//
// In a captured stream a timestamp is an event-record node (cudaEventRecordExternal), which each
// launch of the graph runs anew.  Such a node stands between the kernels before and after it: a
// kernel behind it does not start before the one ahead of it has ended
// (core/kernels/cuda/launch.h), so a graph with timestamps is slower than one without.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

#include "core/device/device.h"

namespace sluice {

class CudaTimestamps : public StreamTimestamps {
 public:
  // An event takes memory of the host and of the GPU.
  static constexpr int64_t kMaxCount = int64_t{1} << 17;

  // `stream` must outlive this.
  CudaTimestamps(cudaStream_t stream, int64_t count);
  ~CudaTimestamps() override;

  CudaTimestamps(const CudaTimestamps&) = delete;
  CudaTimestamps& operator=(const CudaTimestamps&) = delete;

  void Record(int64_t index) override;
  int64_t ElapsedNs(int64_t from, int64_t to) override;

 private:
  cudaStream_t stream_;
  std::vector<cudaEvent_t> events_;
};

}  // namespace sluice
