#include "parallel/comm/nccl/fake/fake_stream.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

namespace {

thread_local int current_device = 0;
std::atomic<int> num_distinct_devices{0};

// A point in a stream that others wait for, and when it was reached.
class Mark {
 public:
  using Clock = std::chrono::steady_clock;

  void Set() {
    const std::lock_guard lock(mutex_);
    time_ = Clock::now();
    is_set_ = true;
    changed_.notify_all();
  }
  void Clear() {
    const std::lock_guard lock(mutex_);
    is_set_ = false;
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_set_; });
  }
  bool is_set() {
    const std::lock_guard lock(mutex_);
    return is_set_;
  }
  Clock::time_point time() {
    const std::lock_guard lock(mutex_);
    return time_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_set_ = false;
  Clock::time_point time_;
};

// An entry of a captured list: work, a mark to set, or a mark to wait for, by number.
struct SetMark {
  int mark;
};
struct WaitMark {
  int mark;
};
using Node = std::variant<sluice::fake::Work, SetMark, WaitMark>;

// What is captured: a list for each stream that takes part, the origin's first.
struct Capture {
  std::vector<cudaStream_t> streams;
  std::vector<std::vector<Node>> lists;
  int num_marks = 0;
  // Marks of events that are recorded outside of the graph; each launch records them again.
  std::vector<std::shared_ptr<Mark>> external_marks;
  bool is_valid = true;

  std::vector<Node>& ListOf(cudaStream_t stream) {
    const auto found = std::find(streams.begin(), streams.end(), stream);
    return lists[static_cast<size_t>(found - streams.begin())];
  }
};

// What a stream's thread shares with the stream, and outlives it with.
struct Queue {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<sluice::fake::Work> works;
  bool is_busy = false;
  bool is_closed = false;
};

// The queues of each device.
std::mutex queues_mutex;
std::multimap<int, std::weak_ptr<Queue>> queues;

void WaitUntilIdle(Queue& queue) {
  std::unique_lock lock(queue.mutex);
  queue.changed.wait(lock, [&] { return queue.works.empty() && !queue.is_busy; });
}

void WaitForDevice(int device) {
  std::vector<std::shared_ptr<Queue>> of_device;
  {
    const std::lock_guard lock(queues_mutex);
    const auto [begin, end] = queues.equal_range(device);
    for (auto entry = begin; entry != end; ++entry) {
      if (std::shared_ptr<Queue> queue = entry->second.lock()) of_device.push_back(queue);
    }
  }
  for (const std::shared_ptr<Queue>& queue : of_device) WaitUntilIdle(*queue);
}

void RunQueue(const std::shared_ptr<Queue>& queue) {
  std::unique_lock lock(queue->mutex);
  while (true) {
    queue->changed.wait(lock, [&] { return !queue->works.empty() || queue->is_closed; });
    if (queue->works.empty()) return;
    const sluice::fake::Work work = std::move(queue->works.front());
    queue->works.pop_front();
    queue->is_busy = true;
    lock.unlock();
    work();
    lock.lock();
    queue->is_busy = false;
    queue->changed.notify_all();
  }
}

void RunList(const std::vector<Node>& list, const std::vector<std::unique_ptr<Mark>>& marks) {
  for (const Node& node : list) {
    if (const auto* work = std::get_if<sluice::fake::Work>(&node)) (*work)();
    if (const auto* set = std::get_if<SetMark>(&node)) marks[set->mark]->Set();
    if (const auto* wait = std::get_if<WaitMark>(&node)) marks[wait->mark]->Wait();
  }
}

// Whether the origin waits, at last, for the end of each other stream's list.
bool IsJoined(const Capture& capture) {
  for (size_t i = 1; i < capture.lists.size(); ++i) {
    const auto* last =
        capture.lists[i].empty() ? nullptr : std::get_if<SetMark>(&capture.lists[i].back());
    if (last == nullptr) return false;
    const bool is_awaited =
        std::any_of(capture.lists[0].begin(), capture.lists[0].end(), [&](const Node& node) {
          const auto* wait = std::get_if<WaitMark>(&node);
          return wait != nullptr && wait->mark == last->mark;
        });
    if (!is_awaited) return false;
  }
  return true;
}

}  // namespace

struct CUstream_st {
  std::shared_ptr<Queue> queue = std::make_shared<Queue>();
  std::shared_ptr<Capture> capture;
};

struct CUevent_st {
  bool has_timing = true;
  // Recorded last: outside of a capture or as an external event of one, or in one.
  std::shared_ptr<Mark> mark;
  std::shared_ptr<Capture> capture;
  int captured_mark = -1;
};

struct CUgraph_st {
  Capture capture;
};

struct CUgraphExec_st {
  std::shared_ptr<const Capture> capture;
};

namespace sluice::fake {

void Enqueue(cudaStream_t stream, Work work) {
  if (stream->capture != nullptr) {
    stream->capture->ListOf(stream).emplace_back(std::move(work));
    return;
  }
  const std::lock_guard lock(stream->queue->mutex);
  stream->queue->works.push_back(std::move(work));
  stream->queue->changed.notify_all();
}

int CurrentDevice() { return current_device; }

void SetNumDistinctDevices(int count) { num_distinct_devices = count; }

}  // namespace sluice::fake

using sluice::fake::Enqueue;

extern "C" {

const char* cudaGetErrorName(cudaError_t code) {
  switch (code) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorCapturedEvent:
      return "cudaErrorCapturedEvent";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureUnjoined:
      return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureIsolation:
      return "cudaErrorStreamCaptureIsolation";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    default:
      return "cudaErrorOfTheFake";
  }
}

const char* cudaGetErrorString(cudaError_t code) { return cudaGetErrorName(code); }

cudaError_t cudaPeekAtLastError() { return cudaSuccess; }

cudaError_t cudaSetDevice(int device) {
  current_device = device;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  std::memset(static_cast<void*>(properties), 0, sizeof(*properties));
  properties->uuid.bytes[0] = static_cast<char>(device < num_distinct_devices ? device : 0);
  properties->uuid.bytes[15] = 1;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** data, size_t size) {
  *data = std::malloc(std::max<size_t>(size, 1));
  return *data == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}

cudaError_t cudaFree(void* data) {
  WaitForDevice(current_device);
  std::free(data);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (kind == cudaMemcpyHostToDevice) {
    // Pageable memory may change once the call has returned.
    const auto* bytes = static_cast<const std::byte*>(from);
    Enqueue(stream, [to, copy = std::vector<std::byte>(bytes, bytes + size)] {
      std::memcpy(to, copy.data(), copy.size());
    });
    return cudaSuccess;
  }
  Enqueue(stream, [=] { std::memcpy(to, from, size); });
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  Enqueue(stream, [=] { function(argument); });
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned int, int) {
  *stream = new CUstream_st;
  {
    const std::lock_guard lock(queues_mutex);
    std::erase_if(queues, [](const auto& entry) { return entry.second.expired(); });
    queues.emplace(current_device, (*stream)->queue);
  }
  std::thread(RunQueue, (*stream)->queue).detach();
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  {
    const std::lock_guard lock(stream->queue->mutex);
    stream->queue->is_closed = true;
    stream->queue->changed.notify_all();
  }
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (stream->capture != nullptr) {
    stream->capture->is_valid = false;
    return cudaErrorStreamCaptureUnsupported;
  }
  const std::lock_guard lock(stream->queue->mutex);
  return stream->queue->works.empty() && !stream->queue->is_busy ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream->capture != nullptr) {
    stream->capture->is_valid = false;
    return cudaErrorStreamCaptureUnsupported;
  }
  WaitUntilIdle(*stream->queue);
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = stream->capture == nullptr  ? cudaStreamCaptureStatusNone
            : stream->capture->is_valid ? cudaStreamCaptureStatusActive
                                        : cudaStreamCaptureStatusInvalidated;
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  *event = new CUevent_st;
  (*event)->has_timing = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->capture = stream->capture;
  if (event->capture != nullptr) {
    event->captured_mark = event->capture->num_marks++;
    event->capture->ListOf(stream).emplace_back(SetMark{event->captured_mark});
    return cudaSuccess;
  }
  event->mark = std::make_shared<Mark>();
  Enqueue(stream, [mark = event->mark] { mark->Set(); });
  return cudaSuccess;
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned int flags) {
  if (flags == cudaEventRecordDefault) return cudaEventRecord(event, stream);
  if (stream->capture == nullptr) return cudaErrorInvalidValue;
  event->capture = nullptr;
  event->mark = std::make_shared<Mark>();
  stream->capture->external_marks.push_back(event->mark);
  Enqueue(stream, [mark = event->mark] { mark->Set(); });
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* elapsed_ms, cudaEvent_t begin, cudaEvent_t end) {
  for (cudaEvent_t event : {begin, end}) {
    if (!event->has_timing || event->capture != nullptr || event->mark == nullptr) {
      return cudaErrorInvalidResourceHandle;
    }
  }
  if (!begin->mark->is_set() || !end->mark->is_set()) return cudaErrorNotReady;
  *elapsed_ms =
      std::chrono::duration<float, std::milli>(end->mark->time() - begin->mark->time()).count();
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (event->capture != nullptr) {
    event->capture->is_valid = false;
    return cudaErrorCapturedEvent;
  }
  return event->mark == nullptr || event->mark->is_set() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  if (event->capture == nullptr) {
    if (stream->capture != nullptr) {
      stream->capture->is_valid = false;
      return cudaErrorStreamCaptureIsolation;
    }
    if (event->mark != nullptr) Enqueue(stream, [mark = event->mark] { mark->Wait(); });
    return cudaSuccess;
  }
  if (stream->capture == nullptr) {
    stream->capture = event->capture;
    stream->capture->streams.push_back(stream);
    stream->capture->lists.emplace_back();
  }
  if (stream->capture != event->capture) return cudaErrorStreamCaptureIsolation;
  stream->capture->ListOf(stream).emplace_back(WaitMark{event->captured_mark});
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->capture = std::make_shared<Capture>();
  stream->capture->streams.push_back(stream);
  stream->capture->lists.emplace_back();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  // Events of the capture may outlive the graph, but keep none of its operations.
  const std::shared_ptr<Capture> recorded = stream->capture;
  Capture capture = std::move(*recorded);
  for (cudaStream_t member : capture.streams) member->capture = nullptr;
  *graph = nullptr;
  if (!capture.is_valid) return cudaErrorStreamCaptureInvalidated;
  if (!IsJoined(capture)) return cudaErrorStreamCaptureUnjoined;
  *graph = new CUgraph_st{std::move(capture)};
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  *executable = new CUgraphExec_st{std::make_shared<const Capture>(graph->capture)};
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  for (const std::shared_ptr<Mark>& mark : executable->capture->external_marks) mark->Clear();
  Enqueue(stream, [capture = executable->capture] {
    std::vector<std::unique_ptr<Mark>> marks;
    for (int i = 0; i < capture->num_marks; ++i) marks.push_back(std::make_unique<Mark>());
    std::vector<std::thread> others;
    for (size_t i = 1; i < capture->lists.size(); ++i) {
      others.emplace_back([&, i] { RunList(capture->lists[i], marks); });
    }
    RunList(capture->lists[0], marks);
    for (std::thread& other : others) other.join();
  });
  return cudaSuccess;
}

}  // extern "C"
