#include "parallel/schedule/pytorch_csv.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/input_file.h"
#include "parallel/schedule/communication.h"
#include "parallel/schedule/find_error.h"
#include "parallel/schedule/schedule_text.h"

namespace sluice {
namespace {

// The message of the Error that parsing throws.
std::string ParseError(std::string_view text) {
  try {
    ParsePyTorchCsv(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(ParsePyTorchCsv, CountsRanksStagesAndMicroBatches) {
  EXPECT_EQ(FormatSchedule(ParsePyTorchCsv(
                "0F0,2F0,(0F1;2B0)OVERLAP_F_B,,2F1,2I1,2W1,0B0,0B1\r\n, 1F0 ,1F1,,1B0,\t1B1,\n")),
            "schedule num_stages=3 num_ranks=2 num_micro_batches=2 num_slices=1 pass=step\n"
            "rank_of_stage 0 1 0\n"
            "rank 0: F0.0.0 F2.0.0 F0.1.0 BW2.0.0 F2.1.0 B2.1.0 W2.1.0 BW0.0.0 BW0.1.0\n"
            "rank 1: F1.0.0 F1.1.0 BW1.0.0 BW1.1.0\n");
}

TEST(ParsePyTorchCsv, AFileWithoutBackwardIsAForwardPass) {
  EXPECT_EQ(FormatSchedule(ParsePyTorchCsv("0F0")),
            "schedule num_stages=1 num_ranks=1 num_micro_batches=1 num_slices=1 pass=forward\n"
            "rank_of_stage 0\n"
            "rank 0: F0.0.0\n");
}

// Files that PyTorch wrote: 2 ranks, 2 stages per rank in a loop or in a V, 4 micro-batches.
TEST(ParsePyTorchCsv, EveryFileOfPyTorchCanRun) {
  const std::vector<int> loop = {0, 1, 0, 1}, v = {0, 1, 1, 0};
  const std::vector<std::pair<std::string, std::vector<int>>> files = {
      {"DualPipeV", v},
      {"Interleaved1F1B", loop},
      {"InterleavedZeroBubble", loop},
      {"LoopedBFS", loop},
      {"ZBVZeroBubble", v}};
  for (const auto& [name, rank_of_stage] : files) {
    SCOPED_TRACE(name);
    const Schedule schedule = ParsePyTorchCsv(
        ReadTextFile("parallel/schedule/testdata/pytorch_csv/Schedule" + name + "_p2_v2_m4.csv"));
    EXPECT_EQ(schedule.rank_of_stage, rank_of_stage);
    EXPECT_EQ(schedule.num_micro_batches, 4);
    EXPECT_EQ(schedule.pass, Pass::kStep);
    EXPECT_EQ(FindComputeError(schedule), std::nullopt);
    EXPECT_EQ(FindError(AddCommunication(schedule)), std::nullopt);
    EXPECT_EQ(FindError(AddCommunication(ForwardOf(schedule))), std::nullopt);
  }
}

TEST(ParsePyTorchCsv, NamesRankPositionLineAndColumn) {
  const std::string expected =
      ", expected stage, letter (F, B, I or W) and micro-batch, such as 0F3, or a pair of a "
      "forward "
      "and a backward, such as (0F3;3B1)OVERLAP_F_B; communication is added to the file's ops";
  EXPECT_EQ(ParseError("0F0,0X0\n"),
            "rank 0, position 1, line 1, column 5: found '0X0'" + expected);
  EXPECT_EQ(ParseError("0F0\n,1F0,1SEND_B0\r\n"),
            "rank 1, position 1, line 2, column 6: found '1SEND_B0'" + expected);
  EXPECT_EQ(ParseError("0F0,(0F1;0F2)OVERLAP_F_B"),
            "rank 0, position 1, line 1, column 5: found '('" + expected);
  EXPECT_EQ(
      ParseError("0F0 0B0"),
      "rank 0, position 1, line 1, column 5: found '0B0', expected ',' or the end of the line");
}

TEST(ParsePyTorchCsv, RefusesEverythingElse) {
  for (const std::string cell : {"0F",
                                 "F0",
                                 "0",
                                 "0F00",
                                 "00F0",
                                 "0f0",
                                 "-1F0",
                                 "0F4000000",
                                 "0F99999999999999999999",
                                 "0BW0",
                                 "\"0F0\"",
                                 "(0F1)",
                                 "(0F1;0B0)",
                                 "(0F1;0B0)OVERLAP",
                                 "(0B0;0F1)OVERLAP_F_B",
                                 "(0F1;0W0)OVERLAP_F_B",
                                 "(0F1,0B0)OVERLAP_F_B",
                                 "0F0;0F1",
                                 "0UNSHARD",
                                 "0F1.0",
                                 "\xff"}) {
    EXPECT_EQ(ParseError("0F0," + cell).find("rank 0, position "), 0u) << cell;
  }
}

TEST(ParsePyTorchCsv, NamesCounts) {
  EXPECT_EQ(ParseError("\n"), "there is no op");
  EXPECT_EQ(ParseError(",,\r\n,"), "there is no op");
  EXPECT_EQ(ParseError("0F0,3F0\n1F0\n"), "no rank has an op of stage 2, but there is a stage 3");
  EXPECT_EQ(ParseError("2999F0,0F1999\n"),
            "3000 stages x 2000 micro-batches are 6000000 units; at most 4000000 are allowed");
}

}  // namespace
}  // namespace sluice
