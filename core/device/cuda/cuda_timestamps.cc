#include "core/device/cuda/cuda_timestamps.h"

#include <cmath>

#include "core/base/check.h"
#include "core/device/cuda/cuda_check.h"

namespace sluice {

CudaTimestamps::CudaTimestamps(cudaStream_t stream, int64_t count) : stream_(stream) {
  SLUICE_CHECK(count >= 0 && count <= kMaxCount);
  events_.resize(static_cast<size_t>(count));
  for (cudaEvent_t& event : events_) {
    SLUICE_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDefault));
  }
}

CudaTimestamps::~CudaTimestamps() {
  for (cudaEvent_t event : events_) SLUICE_CUDA_CHECK(cudaEventDestroy(event));
}

void CudaTimestamps::Record(int64_t index) {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  SLUICE_CUDA_CHECK(cudaStreamIsCapturing(stream_, &capture));
  // Outside of a capture the external flag is refused; inside, an event without it has no time.
  const unsigned int flags =
      capture == cudaStreamCaptureStatusNone ? cudaEventRecordDefault : cudaEventRecordExternal;
  SLUICE_CUDA_CHECK(cudaEventRecordWithFlags(events_[static_cast<size_t>(index)], stream_, flags));
}

int64_t CudaTimestamps::ElapsedNs(int64_t from, int64_t to) {
  float elapsed_ms = 0;
  SLUICE_CUDA_CHECK(cudaEventElapsedTime(&elapsed_ms, events_[static_cast<size_t>(from)],
                                         events_[static_cast<size_t>(to)]));
  return std::llround(static_cast<double>(elapsed_ms) * 1e6);
}

}  // namespace sluice
