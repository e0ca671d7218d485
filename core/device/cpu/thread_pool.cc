#include "core/device/cpu/thread_pool.h"

#include <fmt/format.h>

#include <system_error>

#include "core/base/check.h"
#include "core/base/error.h"

namespace sluice {
namespace {

// About 20 microseconds: longer than the gap between two kernels, shorter than anybody notices.
constexpr int kSpins = 2000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Returns when `value` is no longer `old`.
template <typename T>
void WaitForChange(const std::atomic<T>& value, T old) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (value.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int num_threads) {
  SLUICE_CHECK_GE(num_threads, 1);
  const int rank = CurrentRank();
  threads_.reserve(static_cast<size_t>(num_threads - 1));
  for (int worker = 1; worker < num_threads; ++worker) {
    try {
      threads_.emplace_back([this, worker, rank] {
        SetCurrentRank(rank);
        WorkerLoop(worker);
      });
    } catch (const std::system_error& error) {
      Stop();
      throw Error(fmt::format("{} threads are wanted, and the system has no more than {}: {}",
                              num_threads, worker, error.code().message()));
    }
  }
}

ThreadPool::~ThreadPool() { Stop(); }

void ThreadPool::Stop() {
  stopping_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::RunErased(const void* work, Function function) {
  if (threads_.empty()) return function(work, 0);
  work_ = work;
  function_ = function;
  num_pending_.store(static_cast<int>(threads_.size()), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  function(work, 0);
  for (int pending = num_pending_.load(std::memory_order_acquire); pending != 0;
       pending = num_pending_.load(std::memory_order_acquire)) {
    WaitForChange(num_pending_, pending);
  }
}

void ThreadPool::WorkerLoop(int worker) {
  for (uint32_t seen = 0;; ++seen) {
    WaitForChange(generation_, seen);
    if (stopping_.load(std::memory_order_relaxed)) return;
    function_(work_, worker);
    if (num_pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) num_pending_.notify_one();
  }
}

}  // namespace sluice
