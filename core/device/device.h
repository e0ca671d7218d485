// Where memory lies and kernels run: the host's CPU, or a CUDA GPU.
//
// A Device hands out memory (Buffer) and queues of work (Stream).  On the CPU a call that takes a
// Stream has done its work when it returns; on CUDA it has enqueued it.  Code above this layer is
// written for the second and so is right for both: it reads results after Stream::Synchronize.
//
//   CpuDevice device({.num_threads = 2});
//   Buffer buffer = device.Allocate(1 << 20, "activations");
//   std::unique_ptr<Stream> stream = device.MakeStream();
//
// All allocation happens before timing; num_allocations() proves it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace sluice {

enum class DeviceKind : uint8_t { kCpu, kCuda };

// "cpu", "cuda".
std::string_view Name(DeviceKind kind);

class Device;
class DeviceMonitor;

// Owns a piece of one device's memory, aligned to 256 bytes; freed with it.  The device must
// outlive it.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device* device, void* data, int64_t size_bytes)
      : device_(device), data_(data), size_bytes_(size_bytes) {}
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  void* data() const { return data_; }
  int64_t size_bytes() const { return size_bytes_; }

 private:
  Device* device_ = nullptr;
  void* data_ = nullptr;
  int64_t size_bytes_ = 0;
};

// Work recorded once by Stream::Capture, to be enqueued many times.
class StreamGraph {
 public:
  virtual ~StreamGraph() = default;

  // Enqueues the recorded work on the stream that captured it.
  virtual void Launch() = 0;
};

// The times at which a stream reaches marked points of its work: events on CUDA, a monotonic clock
// on the CPU.  Each stream has an origin of its own, so only differences are given.
class StreamTimestamps {
 public:
  virtual ~StreamTimestamps() = default;

  // Sets timestamp `index` when the work enqueued so far is done.  Allocates nothing.  While the
  // stream is captured, the mark becomes part of the graph: each launch sets the timestamp anew.
  virtual void Record(int64_t index) = 0;

  // The time from timestamp `from` to timestamp `to`.  Both must have been set, and the stream
  // synchronised since.
  virtual int64_t ElapsedNs(int64_t from, int64_t to) = 0;
};

class StreamTimer;

// A queue of work of one device, done in order.
class Stream {
 public:
  virtual ~Stream() = default;

  // Returns when all work enqueued so far is done.
  virtual void Synchronize() = 0;

  // Whether it is done now.
  virtual bool IsIdle() = 0;

  // Records what `work` enqueues on this stream, without doing it, so that Launch costs one call
  // however many kernels it is.  `work` must allocate and synchronise nothing, and must have run
  // once before, so that everything is loaded and every algorithm chosen.  On CUDA it is called
  // now, once, and its arguments are frozen; on the CPU it is called by each Launch: memory that it
  // reads and writes must stay where it is, and what it refers to must outlive the graph.
  virtual std::unique_ptr<StreamGraph> Capture(std::function<void()> work) = 0;

  // `count` timestamps, at most max_timestamps().  All that they need is allocated here.
  virtual int64_t max_timestamps() const = 0;
  virtual std::unique_ptr<StreamTimestamps> MakeTimestamps(int64_t count) = 0;

  std::unique_ptr<StreamTimer> MakeTimer();
};

// Measures the work enqueued on a stream between Begin and End.  The same timer can be used again
// once read.
class StreamTimer {
 public:
  // `stream` must outlive this.
  explicit StreamTimer(Stream& stream) : stream_(stream), ends_(stream.MakeTimestamps(2)) {}

  void Begin() { ends_->Record(0); }
  void End() { ends_->Record(1); }

  // Waits until the stream is done, and returns the time from Begin to End.
  int64_t ElapsedNs();

 private:
  Stream& stream_;
  std::unique_ptr<StreamTimestamps> ends_;
};

// Not thread-safe: each rank has its own.
class Device {
 public:
  virtual ~Device() = default;

  virtual DeviceKind kind() const = 0;

  // What it is, as its maker calls it: "Intel(R) Xeon(R) Processor", "NVIDIA H100 80GB HBM3".
  virtual std::string description() const = 0;

  // Bytes that Allocate could still give, as far as the system tells.
  virtual int64_t available_bytes() const = 0;

  // Bytes of its memory that the process holds besides what Allocate gave, as far as the system
  // tells: on CUDA the driver's context and the code of kernels, which grows as kernels first run.
  // 0 on the CPU, where a process is more than what its devices hold.
  virtual int64_t runtime_bytes() const { return 0; }

  // Of clocks and power while work runs; null on the CPU.
  virtual std::unique_ptr<DeviceMonitor> MakeMonitor() const;

  // Memory for `what`, uninitialised.  Throws Error naming `what`, the bytes wanted and the bytes
  // there are.
  Buffer Allocate(int64_t size_bytes, std::string_view what);

  virtual std::unique_ptr<Stream> MakeStream() = 0;

  // Copies between host memory and this device's; returns when the bytes have arrived.
  virtual void CopyFromHost(void* to, const void* from_host, int64_t size_bytes) = 0;
  virtual void CopyToHost(void* to_host, const void* from, int64_t size_bytes) = 0;

  // Since the device was made: calls of Allocate, bytes held now, and the most bytes ever held.
  int64_t num_allocations() const { return num_allocations_; }
  int64_t allocated_bytes() const { return allocated_bytes_; }
  int64_t peak_allocated_bytes() const { return peak_allocated_bytes_; }

 protected:
  // Returns nullptr when there is not enough memory.
  virtual void* AllocateBytes(int64_t size_bytes) = 0;
  virtual void FreeBytes(void* data, int64_t size_bytes) = 0;

 private:
  friend class Buffer;

  int64_t num_allocations_ = 0;
  int64_t allocated_bytes_ = 0;
  int64_t peak_allocated_bytes_ = 0;
};

}  // namespace sluice
