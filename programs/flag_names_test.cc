#include "programs/flag_names.h"

#include <gtest/gtest.h>

#include "parallel/schemes/schemes.h"

namespace sluice {
namespace {

TEST(WithFlagNames, ReplacesWholeWordsOnly) {
  EXPECT_EQ(WithFlagNames("num_ranks 3 x num_slices"), "pipeline_parallel_size 3 x n_slices");
  EXPECT_EQ(WithFlagNames("max_num_slices num_slices_"), "max_num_slices num_slices_");
  EXPECT_EQ(WithFlagNames(""), "");
}

std::string MessageOf(std::string_view scheme, const ScheduleShape& shape) {
  try {
    MakeWithFlagNames([&] { return BuildSchedule(FindScheme(scheme), shape); });
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(WithFlagNames, NamesTheFlagsInErrorsOfSchemes) {
  EXPECT_TRUE(MessageOf("gpipe", {.num_slices = 4}).starts_with("n_slices 4 is not allowed"));
  EXPECT_EQ(MessageOf("seq_interleaved", {.num_ranks = 2, .num_slices = 3}),
            "n_slices 3 is not allowed with interleaving over slices: it must be a multiple of "
            "pipeline_parallel_size 2");
}

}  // namespace
}  // namespace sluice
