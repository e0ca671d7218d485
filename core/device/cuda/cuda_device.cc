#include "core/device/cuda/cuda_device.h"

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/device/cuda/cuda_check.h"
#include "core/device/cuda/cuda_timestamps.h"
#include "core/device/cuda/nvml.h"
#include "core/device/cuda/nvml_monitor.h"

namespace sluice {
namespace {

constexpr int kLeastComputeCapabilityMajor = 8;

// "13.0" for 13000, as CUDA counts versions.
std::string VersionText(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

// Of the calls that make a process's context on a GPU: what fails there is the GPU, its driver or
// the memory of the machine.
void CheckUsable(cudaError_t code, int device_index) {
  if (code == cudaSuccess) return;
  throw Error(fmt::format("CUDA device {} cannot be used: {} ({}): {}", device_index,
                          cudaGetErrorName(code), static_cast<int>(code),
                          cudaGetErrorString(code)));
}

class CudaGraph : public StreamGraph {
 public:
  CudaGraph(cudaGraph_t graph, cudaStream_t stream) : stream_(stream) {
    SLUICE_CUDA_CHECK(cudaGraphInstantiate(&executable_, graph, 0));
    SLUICE_CUDA_CHECK(cudaGraphDestroy(graph));
    SLUICE_CUDA_CHECK(cudaGraphUpload(executable_, stream_));
  }
  ~CudaGraph() override { SLUICE_CUDA_CHECK(cudaGraphExecDestroy(executable_)); }

  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  void Launch() override { SLUICE_CUDA_CHECK(cudaGraphLaunch(executable_, stream_)); }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace

int NumCudaDevices() {
  int runtime_version = 0;
  int driver_version = 0;
  SLUICE_CUDA_CHECK(cudaRuntimeGetVersion(&runtime_version));
  SLUICE_CUDA_CHECK(cudaDriverGetVersion(&driver_version));
  if (driver_version == 0) {
    throw Error("device cuda needs an NVIDIA GPU: this machine has no NVIDIA driver");
  }
  int num_devices = 0;
  const cudaError_t code = cudaGetDeviceCount(&num_devices);
  if (code == cudaErrorInsufficientDriver) {
    throw Error(fmt::format(
        "the NVIDIA driver of this machine is too old: it supports CUDA {}, and this program needs "
        "{}",
        VersionText(driver_version), VersionText(runtime_version)));
  }
  if (code == cudaErrorNoDevice) return 0;
  if (code != cudaSuccess) {
    throw Error(fmt::format("the NVIDIA driver cannot be used: {}: {}", cudaGetErrorName(code),
                            cudaGetErrorString(code)));
  }
  return num_devices;
}

CudaStream::CudaStream() {
  SLUICE_CUDA_CHECK(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking));
  SLUICE_CUDA_CHECK(cudaEventCreateWithFlags(&reached_, cudaEventDisableTiming));
}

CudaStream::~CudaStream() {
  SLUICE_CUDA_CHECK(cudaEventDestroy(reached_));
  SLUICE_CUDA_CHECK(cudaStreamDestroy(handle_));
}

void CudaStream::WaitFor(CudaStream& other) {
  SLUICE_CUDA_CHECK(cudaEventRecord(other.reached_, other.handle_));
  SLUICE_CUDA_CHECK(cudaStreamWaitEvent(handle_, other.reached_));
}

void CudaStream::Synchronize() { SLUICE_CUDA_CHECK(cudaStreamSynchronize(handle_)); }

bool CudaStream::IsIdle() {
  const cudaError_t code = cudaStreamQuery(handle_);
  if (code == cudaErrorNotReady) return false;
  SLUICE_CUDA_CHECK(code);
  return true;
}

std::unique_ptr<StreamGraph> CudaStream::Capture(std::function<void()> work) {
  // Thread-local: ranks on other threads may allocate meanwhile.
  SLUICE_CUDA_CHECK(cudaStreamBeginCapture(handle_, cudaStreamCaptureModeThreadLocal));
  work();
  cudaGraph_t graph = nullptr;
  SLUICE_CUDA_CHECK(cudaStreamEndCapture(handle_, &graph));
  return std::make_unique<CudaGraph>(graph, handle_);
}

int64_t CudaStream::max_timestamps() const { return CudaTimestamps::kMaxCount; }

std::unique_ptr<StreamTimestamps> CudaStream::MakeTimestamps(int64_t count) {
  return std::make_unique<CudaTimestamps>(handle_, count);
}

CudaDevice::CudaDevice(CudaDeviceOptions options) : device_index_(options.device_index) {
  const int num_devices = NumCudaDevices();
  if (num_devices == 0) throw Error("device cuda needs an NVIDIA GPU: this machine shows none");
  if (options.device_index < 0 || options.device_index >= num_devices) {
    throw Error(fmt::format("there is no CUDA device {}: this machine shows {}, numbered from 0",
                            options.device_index, num_devices));
  }
  CheckUsable(cudaGetDeviceProperties(&properties_, options.device_index), options.device_index);
  if (properties_.major < kLeastComputeCapabilityMajor) {
    throw Error(fmt::format(
        "CUDA device {} ({}) has compute capability {}.{}; the kernels need {}.0 or newer",
        options.device_index, properties_.name, properties_.major, properties_.minor,
        kLeastComputeCapabilityMajor));
  }
  CheckUsable(cudaSetDevice(options.device_index), options.device_index);
  CheckUsable(cudaFree(nullptr), options.device_index);
  copy_stream_ = std::make_unique<CudaStream>();
}

CudaDevice::~CudaDevice() = default;

int64_t CudaDevice::available_bytes() const {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  SLUICE_CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
  return static_cast<int64_t>(free_bytes);
}

std::string CudaDevice::PciBusId() const {
  char id[16] = {};
  SLUICE_CUDA_CHECK(cudaDeviceGetPCIBusId(id, sizeof(id), device_index_));
  return id;
}

int64_t CudaDevice::runtime_bytes() const {
  std::optional<int64_t> process_bytes;
  try {
    process_bytes = NvmlDevice(PciBusId()).ProcessBytes();
  } catch (const Error&) {
    // Without NVML: below.
  }
  if (!process_bytes) {
    size_t free_bytes = 0;
    size_t total_bytes = 0;
    SLUICE_CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
    process_bytes = static_cast<int64_t>(total_bytes - free_bytes);
  }
  return *process_bytes - allocated_bytes();
}

std::unique_ptr<DeviceMonitor> CudaDevice::MakeMonitor() const {
  return std::make_unique<NvmlMonitor>(PciBusId());
}

std::unique_ptr<Stream> CudaDevice::MakeStream() { return MakeCudaStream(); }

std::unique_ptr<CudaStream> CudaDevice::MakeCudaStream() { return std::make_unique<CudaStream>(); }

// A plain cudaMemcpy may return before the bytes have arrived, and orders itself with the default
// stream only.
void CudaDevice::CopyFromHost(void* to, const void* from_host, int64_t size_bytes) {
  SLUICE_CUDA_CHECK(cudaMemcpyAsync(to, from_host, static_cast<size_t>(size_bytes),
                                    cudaMemcpyHostToDevice, copy_stream_->handle()));
  copy_stream_->Synchronize();
}

void CudaDevice::CopyToHost(void* to_host, const void* from, int64_t size_bytes) {
  SLUICE_CUDA_CHECK(cudaMemcpyAsync(to_host, from, static_cast<size_t>(size_bytes),
                                    cudaMemcpyDeviceToHost, copy_stream_->handle()));
  copy_stream_->Synchronize();
}

void* CudaDevice::AllocateBytes(int64_t size_bytes) {
  void* data = nullptr;
  const cudaError_t code = cudaMalloc(&data, static_cast<size_t>(size_bytes));
  if (code == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // reported by the caller, not by the next check of a launch
    return nullptr;
  }
  SLUICE_CUDA_CHECK(code);
  return data;
}

void CudaDevice::FreeBytes(void* data, int64_t) { SLUICE_CUDA_CHECK(cudaFree(data)); }

}  // namespace sluice
