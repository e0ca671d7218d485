#include "parallel/comm/thread/shared_copy.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace sluice::internal {
namespace {

constexpr int64_t kSizes[] = {0, 1, 65535, 65536, 65537, 1'000'003};

std::vector<unsigned char> Numbered(int64_t size) {
  std::vector<unsigned char> bytes(static_cast<size_t>(size));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(i * 7 + i / 251);
  return bytes;
}

TEST(SharedCopyTest, OneThreadCopiesAllFromEitherEnd) {
  for (const int64_t size : kSizes) {
    for (const auto end : {SharedCopy::End::kFront, SharedCopy::End::kBack}) {
      const std::vector<unsigned char> from = Numbered(size);
      std::vector<unsigned char> to(from.size());
      SharedCopy copy;
      copy.Begin(to.data(), from.data(), size);
      EXPECT_TRUE(copy.WorkFirst(end));
      EXPECT_EQ(to, from);
      EXPECT_FALSE(copy.Work(end)) << "nothing is left";
    }
  }
}

TEST(SharedCopyTest, WhoJoinsFirstLeavesTheFirstPart) {
  const std::vector<unsigned char> from = Numbered(1'000'003);
  std::vector<unsigned char> to(from.size());
  SharedCopy copy;
  copy.Begin(to.data(), from.data(), 1'000'003);
  EXPECT_FALSE(copy.Work(SharedCopy::End::kBack));
  EXPECT_NE(to, from);
  EXPECT_EQ(to.back(), from.back());
  EXPECT_TRUE(copy.WorkFirst(SharedCopy::End::kFront));
  EXPECT_EQ(to, from);
}

// One of the two is told that all is there, and it is.
TEST(SharedCopyTest, TwoThreadsCopyTogether) {
  SharedCopy copy;
  for (int repetition = 0; repetition < 20; ++repetition) {
    const std::vector<unsigned char> from = Numbered(1'000'003 - repetition);
    std::vector<unsigned char> to(from.size());
    copy.Begin(to.data(), from.data(), static_cast<int64_t>(from.size()));
    bool is_last[2] = {};
    std::thread other([&] { is_last[1] = copy.Work(SharedCopy::End::kBack); });
    is_last[0] = copy.WorkFirst(SharedCopy::End::kFront);
    if (is_last[0]) {
      EXPECT_EQ(to, from);
    }
    other.join();
    EXPECT_EQ(to, from);
    EXPECT_EQ(is_last[0] + is_last[1], 1);
  }
}

}  // namespace
}  // namespace sluice::internal
