// An NVIDIA GPU as a Device.
//
// Making one binds the calling thread to the GPU (cudaSetDevice): each rank makes its own device on
// its own thread, and uses it and its streams from there only.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <string>

#include "core/device/device.h"
#include "core/device/device_monitor.h"

namespace sluice {

struct CudaDeviceOptions {
  int device_index = 0;  // in the order of CUDA_VISIBLE_DEVICES
};

// GPUs that this process can use.  Throws Error when there is no driver, or when it is older than
// the CUDA version that this program was built with.
int NumCudaDevices();

// A CUDA stream that does not wait for the default stream.
class CudaStream : public Stream {
 public:
  CudaStream();
  ~CudaStream() override;

  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  void Synchronize() override;
  bool IsIdle() override;

  // A CUDA graph of what `work` enqueues, instantiated and uploaded.
  std::unique_ptr<StreamGraph> Capture(std::function<void()> work) override;

  int64_t max_timestamps() const override;
  // CUDA events.
  std::unique_ptr<StreamTimestamps> MakeTimestamps(int64_t count) override;

  // Work enqueued on this stream from now on starts after what `other` holds now.  Where `other` is
  // being captured, this stream joins the capture, and `other` must wait for it before the end.
  void WaitFor(CudaStream& other);

  cudaStream_t handle() const { return handle_; }

 private:
  cudaStream_t handle_ = nullptr;
  cudaEvent_t reached_ = nullptr;  // for those who wait for this stream
};

class CudaDevice : public Device {
 public:
  // Throws Error when there is no such GPU, or when its compute capability is below 8.0.
  explicit CudaDevice(CudaDeviceOptions options);
  ~CudaDevice() override;

  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  DeviceKind kind() const override { return DeviceKind::kCuda; }
  std::string description() const override { return properties_.name; }
  int64_t available_bytes() const override;

  // By NVML; where it does not tell, what all processes together hold of the GPU.
  int64_t runtime_bytes() const override;

  // By NVML.
  std::unique_ptr<DeviceMonitor> MakeMonitor() const override;
  std::unique_ptr<Stream> MakeStream() override;
  std::unique_ptr<CudaStream> MakeCudaStream();
  void CopyFromHost(void* to, const void* from_host, int64_t size_bytes) override;
  void CopyToHost(void* to_host, const void* from, int64_t size_bytes) override;

  // What cudaGetDeviceProperties says: multiprocessors, L2 size, shared memory.
  const cudaDeviceProp& properties() const { return properties_; }

 protected:
  void* AllocateBytes(int64_t size_bytes) override;
  void FreeBytes(void* data, int64_t size_bytes) override;

 private:
  // "0000:1B:00.0": by which NVML knows it.
  std::string PciBusId() const;

  int device_index_;
  cudaDeviceProp properties_ = {};
  std::unique_ptr<CudaStream> copy_stream_;
};

}  // namespace sluice
