#include "core/device/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice {
namespace {

TEST(ThreadPool, RunsEveryWorkerOnce) {
  for (const int num_threads : {1, 2, 5}) {
    ThreadPool pool(num_threads);
    for (int round = 0; round < 1000; ++round) {
      std::vector<int> calls(static_cast<size_t>(num_threads));
      pool.Run([&](int worker) { ++calls[static_cast<size_t>(worker)]; });
      for (const int count : calls) ASSERT_EQ(count, 1);
    }
  }
}

TEST(ThreadPool, ParallelForCoversTheRangeOnce) {
  for (const int num_threads : {1, 2, 3, 7}) {
    ThreadPool pool(num_threads);
    for (const int64_t count : {0, 1, 2, 5, 16, 17, 100}) {
      for (const int64_t grain : {1, 4, 16}) {
        std::vector<int> hits(static_cast<size_t>(count));
        pool.ParallelFor(count, grain, [&](int64_t begin, int64_t end) {
          EXPECT_EQ(begin % grain, 0);
          for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
        });
        for (const int hit : hits) ASSERT_EQ(hit, 1);
      }
    }
  }
}

}  // namespace
}  // namespace sluice
