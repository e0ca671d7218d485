#include "core/base/allocation_counter.h"

#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <thread>
#include <vector>

namespace sluice {
namespace {

struct alignas(64) Line {
  char bytes[64];
};

TEST(AllocationCounter, CountsEveryForm) {
  const int64_t before = NumHeapAllocations();
  const std::vector<int> numbers(100);
  EXPECT_EQ(NumHeapAllocations() - before, 1);
  const auto line = std::make_unique<Line>();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(line.get()) % 64, 0U);
  EXPECT_EQ(NumHeapAllocations() - before, 2);
  int* number = new (std::nothrow) int(1);
  EXPECT_EQ(NumHeapAllocations() - before, 3);
  delete number;
}

TEST(AllocationCounter, CountsOtherThreads) {
  int64_t counted = 0;
  std::thread([&] {
    const int64_t before = NumHeapAllocations();
    const std::vector<int> numbers(100);
    counted = NumHeapAllocations() - before;
  }).join();
  EXPECT_EQ(counted, 1);
}

}  // namespace
}  // namespace sluice
