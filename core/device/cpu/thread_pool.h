// A fixed set of threads that share loops.  One caller at a time; the caller works too, as worker
// 0.
//
//   pool.Run([&](int worker) { ... });   // once on every worker, returns when all are done
//
// Workers wait for the next loop in a short spin and then asleep, so that idle pools cost nothing
// and ranks that outnumber the cores do not starve each other.  Run allocates nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace sluice {

class ThreadPool {
 public:
  // Throws Error when the system has not that many threads.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(threads_.size()) + 1; }

  // Calls work(worker) for worker = 0 .. num_threads() - 1, each on its own thread.
  template <typename Work>
  void Run(const Work& work) {
    RunErased(&work,
              [](const void* erased, int worker) { (*static_cast<const Work*>(erased))(worker); });
  }

  // Splits 0 .. count - 1 into one contiguous range a worker, each but the last a multiple of
  // `grain` long, and calls work(worker, begin, end) for the ranges that are not empty.
  template <typename Work>
  void ParallelForByWorker(int64_t count, int64_t grain, const Work& work) {
    const int64_t num_grains = (count + grain - 1) / grain;
    if (num_threads() == 1 || num_grains <= 1) {
      if (count > 0) work(0, int64_t{0}, count);
      return;
    }
    Run([&](int worker) {
      const int64_t begin = num_grains * worker / num_threads() * grain;
      const int64_t end = num_grains * (worker + 1) / num_threads() * grain;
      if (begin < count && begin < end) work(worker, begin, end < count ? end : count);
    });
  }

  // The same without the worker's number: work(begin, end).
  template <typename Work>
  void ParallelFor(int64_t count, int64_t grain, const Work& work) {
    ParallelForByWorker(count, grain, [&](int, int64_t begin, int64_t end) { work(begin, end); });
  }

 private:
  using Function = void (*)(const void* erased, int worker);

  // Ends the workers.
  void Stop();
  void RunErased(const void* work, Function function);
  void WorkerLoop(int worker);

  std::vector<std::thread> threads_;
  const void* work_ = nullptr;
  Function function_ = nullptr;

  // The number of the current loop; a worker runs it once.  Stopping is one more loop.
  alignas(64) std::atomic<uint32_t> generation_{0};
  alignas(64) std::atomic<int> num_pending_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace sluice
