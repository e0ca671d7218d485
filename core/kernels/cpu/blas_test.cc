#include "core/kernels/cpu/blas.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <iterator>
#include <thread>
#include <vector>

namespace sluice::cpu {
namespace {

// Returns the number of threads of this process, as the system counts them.
int64_t NumThreads() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                       std::filesystem::directory_iterator());
}

// c = a b for [size, size] matrices of integers, whose sums are exact.
std::vector<float> Product(int64_t size) {
  std::vector<float> a(static_cast<size_t>(size * size)), b(a.size()), c(a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = static_cast<float>(i % 7);
    b[i] = static_cast<float>(i % 5);
  }
  BlasGemm<float>({size, size, size}, 1, {a.data(), size}, {b.data(), size}, WriteMode::kOverwrite,
                  {c.data(), size});
  return c;
}

TEST(Blas, HasNoThreadsOfItsOwn) {
  EXPECT_NO_THROW(CheckBlasHasNoThreads());
  EXPECT_EQ(NumThreads(), 1);
  Product(512);  // large enough for any library to divide it
  EXPECT_EQ(NumThreads(), 1);
}

// More threads than OpenBLAS has buffers to begin with.
TEST(Blas, ManyThreadsMayCallItAtOnce) {
  constexpr int kNumThreads = 100, kNumCalls = 50;
  const std::vector<float> expected = Product(96);
  std::vector<int> num_wrong(kNumThreads);
  std::vector<std::thread> threads;
  for (int& wrong : num_wrong) {
    threads.emplace_back([&] {
      for (int call = 0; call < kNumCalls; ++call) wrong += Product(96) != expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(num_wrong, std::vector<int>(kNumThreads));
}

}  // namespace
}  // namespace sluice::cpu
