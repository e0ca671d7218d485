#include "parallel/schedule/slices.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace sluice {
namespace {

using Slices = std::vector<Slice>;

TEST(UniformSlices, GivesTheFirstSlicesOneMore) {
  EXPECT_EQ(UniformSlices(8, 2), (Slices{{0, 4}, {4, 4}}));
  EXPECT_EQ(UniformSlices(11, 4), (Slices{{0, 3}, {3, 3}, {6, 3}, {9, 2}}));
  EXPECT_EQ(UniformSlices(3, 3), (Slices{{0, 1}, {1, 1}, {2, 1}}));
}

TEST(UniformSlices, RefusesMoreSlicesThanPositions) {
  EXPECT_THROW(UniformSlices(128, 129), Error);
  EXPECT_THROW(UniformSlices(128, 0), Error);
  EXPECT_THROW(UniformSlices(128, -1), Error);
}

TEST(ParseSlices, TakesAnyLengths) {
  EXPECT_EQ(ParseSlices("776,640,632", 2048), (Slices{{0, 776}, {776, 640}, {1416, 632}}));
  EXPECT_EQ(ParseSlices("5", 5), (Slices{{0, 5}}));
}

TEST(ParseSlices, NamesBothSums) {
  try {
    ParseSlices("776,640,631", 2048);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "slices '776,640,631' sum to 2047, but seq_len is 2048");
  }
}

TEST(ParseSlices, RefusesWhatIsNoLength) {
  for (const char* lens : {"", "0,5", "5,0", "-1,6", "5,", ",5", "2 ,3", "2.5,2.5", "6", "4,2",
                           "9223372036854775807,1"}) {
    EXPECT_THROW(ParseSlices(lens, 5), Error) << lens;
  }
}

}  // namespace
}  // namespace sluice
