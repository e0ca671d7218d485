#include "parallel/comm/fingerprint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "parallel/comm/comm_error.h"
#include "parallel/comm/thread/thread_communicator.h"

namespace sluice {
namespace {

using Fields = std::vector<FingerprintField>;

// What is said when one rank has the second list, and the others the first.
std::string Compare(const Fields& common, const Fields& different, int rank_that_differs) {
  try {
    RunThreadRanks({.world_size = 4}, [&](Communicator& comm) {
      CheckFingerprint(comm, comm.rank() == rank_that_differs ? different : common);
    });
  } catch (const CommError& error) {
    EXPECT_EQ(error.exit_code(), kFaultExitCode);
    return error.what();
  }
  return "the same";
}

const Fields kFields = {{"model", "test"}, {"n_slices", "8"}, {"commit", "abc"}};

TEST(CheckFingerprint, AcceptsTheSame) {
  EXPECT_EQ(Compare(kFields, kFields, 2), "the same");
  EXPECT_EQ(Compare({}, {}, 2), "the same");
}

TEST(CheckFingerprint, NamesRankFieldAndBothValues) {
  EXPECT_EQ(Compare(kFields, {{"model", "test"}, {"n_slices", "4"}, {"commit", "xyz"}}, 2),
            "rank 2 has another configuration: n_slices is '4', but '8' on rank 0");
  EXPECT_EQ(Compare(kFields, {{"model", "test"}, {"n_slices", ""}, {"commit", "abc"}}, 3),
            "rank 3 has another configuration: n_slices is '', but '8' on rank 0");
}

TEST(CheckFingerprint, NamesMissingMoreAndOtherFields) {
  EXPECT_THAT(Compare(kFields, {{"model", "test"}}, 1),
              testing::HasSubstr("rank 1 has another configuration: field 1"));
  EXPECT_THAT(Compare({{"model", "test"}}, kFields, 1),
              testing::HasSubstr("field 1 is 'n_slices'"));
  EXPECT_THAT(Compare(kFields, {{"model", "test"}, {"slices", "8"}, {"commit", "abc"}}, 1),
              testing::HasSubstr("field 1 is 'slices', not 'n_slices'"));
}

// Whichever rank differs from rank 0 first is named, rank 0 as the odd one out included.
TEST(CheckFingerprint, ComparesWithRankZero) {
  EXPECT_EQ(Compare(kFields, {{"model", "tiny"}}, 0),
            "rank 1 has another configuration: model is 'test', but 'tiny' on rank 0");
}

}  // namespace
}  // namespace sluice
