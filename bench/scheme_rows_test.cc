// The rows of the main job and the targets of bench/BUILD.bazel include every scheme.
#include "bench/scheme_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <sstream>

#include "core/base/error.h"
#include "parallel/schedule/slices.h"
#include "programs/scheme_choices.h"

namespace sluice {
namespace {

TEST(SchemeTargets, AreAllSchemes) {
  std::istringstream names(SLUICE_SCHEME_TARGETS);
  const std::vector<std::string> targets = {std::istream_iterator<std::string>(names), {}};
  EXPECT_THAT(targets, testing::UnorderedElementsAreArray(SchemeNames()));
}

TEST(SchemeRows, AreAllSchemes) {
  std::vector<std::string> schemes;
  for (const SchemeRow& row : SchemeRows(2)) schemes.push_back(row.scheme);
  EXPECT_EQ(schemes, SchemeNames());
}

// The main job has 24 layers of 128 positions.
TEST(SchemeRows, AreJobsOnAnyNumberOfRanks) {
  for (const int num_ranks : {2, 3, 4, 8}) {
    for (const SchemeRow& row : SchemeRows(num_ranks)) {
      JobConfig config = {.batch_size = row.num_micro_batches,
                          .scheme = std::string(FindSchemeChoice(row.scheme)->scheme->name),
                          .num_micro_batches = row.num_micro_batches,
                          .num_chunks = row.num_chunks,
                          .sizes = row.sizes};
      config.model = FindModel("test");
      if (row.sizes.tensor > 1 && config.model.num_heads % row.sizes.tensor != 0) continue;
      config.slices = UniformSlices(config.model.seq_len, row.num_slices);
      EXPECT_NO_THROW(PlanJob(config)) << row.scheme << " on " << num_ranks;
    }
  }
}

}  // namespace
}  // namespace sluice
