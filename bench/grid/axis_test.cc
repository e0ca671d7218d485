#include "bench/grid/axis.h"

#include <gtest/gtest.h>

#include <string>

#include "core/base/error.h"

namespace sluice {
namespace {

using Values = std::vector<int64_t>;

Values Parsed(std::string_view text) { return ParseAxis("--seq_lens", text, {1, 1'000'000}); }

std::string Refusal(std::string_view text) {
  try {
    Parsed(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(ParseAxis, ReadsLists) {
  EXPECT_EQ(Parsed("128"), Values({128}));
  EXPECT_EQ(Parsed("3,6,12,24"), Values({3, 6, 12, 24}));
  EXPECT_EQ(Parsed("6,3"), Values({3, 6}));
}

TEST(ParseAxis, ReadsRanges) {
  EXPECT_EQ(Parsed("1:20:8"), Values({1, 9, 17}));
  EXPECT_EQ(Parsed("1:17:8"), Values({1, 9, 17}));
  EXPECT_EQ(Parsed("4:6"), Values({4, 5, 6}));
  EXPECT_EQ(Parsed("5:5:3"), Values({5}));
  EXPECT_EQ(Parsed("1:2:1000000"), Values({1}));
  EXPECT_EQ(Parsed("1:1024:8").size(), 128u);
  EXPECT_EQ(Parsed("100,1:3,8:16:8"), Values({1, 2, 3, 8, 16, 100}));
}

TEST(ParseAxis, StopsAtTheLargestInteger) {
  constexpr int64_t kMax = INT64_MAX;
  EXPECT_EQ(ParseAxis("x", "9223372036854775806:9223372036854775807", {0, kMax}),
            Values({kMax - 1, kMax}));
  EXPECT_EQ(ParseAxis("x", "0:0:9223372036854775807", {0, kMax}), Values({0}));
}

TEST(ParseAxis, RefusesWhatItDoesNotUnderstand) {
  EXPECT_EQ(Refusal("4:1"), "--seq_lens '4:1' is not allowed: the range ends before it begins");
  EXPECT_EQ(Refusal("1:2:3:4"),
            "--seq_lens '1:2:3:4' is not allowed: a range is begin:end or begin:end:step");
  EXPECT_EQ(Refusal("1:9:0"),
            "the step of --seq_lens '0' is not allowed: it must be an integer from 1 to 1000000");
  EXPECT_EQ(Refusal("1,2:4,3"), "--seq_lens holds 3 twice");
  EXPECT_EQ(Refusal("1:200000"), "--seq_lens has more than 100000 values");
  for (const char* text : {"", ",", "1,", ",1", "0", "1000001", ":", "1:", ":4", "1::2", "a", "1-4",
                           "1 :4", "1:4:-1", "1.5", "0x10"}) {
    EXPECT_NE(Refusal(text).find("is not allowed"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace sluice
