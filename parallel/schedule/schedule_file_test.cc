#include "parallel/schedule/schedule_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "core/base/error.h"
#include "parallel/schedule/find_error.h"
#include "parallel/schedule/schedule_text.h"

namespace sluice {
namespace {

constexpr char kText[] =
    "schedule num_stages=2 num_ranks=2 num_micro_batches=1 num_slices=1 pass=step\n"
    "rank_of_stage 0 1\n"
    "rank 0: F0.0.0 BW0.0.0\n"
    "rank 1: F1.0.0 BW1.0.0\n";

constexpr char kTextWithCommunication[] =
    "schedule num_stages=2 num_ranks=2 num_micro_batches=1 num_slices=1 pass=step\n"
    "rank_of_stage 0 1\n"
    "rank 0: F0.0.0 SA0.0.0 RG0.0.0 BW0.0.0\n"
    "rank 1: RA1.0.0 F1.0.0 BW1.0.0 SG1.0.0\n";

// The message of the Error that parsing throws, or what FindErrorAsWritten returns.
std::string ErrorIn(std::string_view text) {
  try {
    return FindErrorAsWritten(ParseScheduleFile(text)).value_or("no error");
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(ScheduleFile, IsTheTextFormOrCsv) {
  EXPECT_EQ(FormatSchedule(ParseScheduleFile(kText)), kText);
  EXPECT_EQ(FormatSchedule(ParseScheduleFile(kTextWithCommunication)), kTextWithCommunication);
  EXPECT_EQ(FormatSchedule(ParseScheduleFile("0F0,0B0\n1F0,1B0\n")), kText);
}

TEST(ScheduleFile, GetsCommunicationIfItHasNone) {
  for (const char* text : {kText, kTextWithCommunication, "0F0,0B0\n1F0,1B0\n"}) {
    const Schedule schedule = WithCommunication(ParseScheduleFile(text));
    EXPECT_EQ(FindError(schedule), std::nullopt);
    EXPECT_EQ(FindErrorAsWritten(ParseScheduleFile(text)), std::nullopt);
    EXPECT_EQ(schedule.ops_of_rank[0].size(), 4u);
  }
}

TEST(ScheduleFile, ErrorsNameRankPositionOpAndReason) {
  EXPECT_EQ(ErrorIn(""),
            "the file is empty; it must contain a schedule in the text form or in PyTorch's CSV");
  // A rank too many.
  EXPECT_EQ(ErrorIn("0F0,0B0\n1F0,1B0\n1F0,1B0\n"),
            "rank 2, position 0, F1.0.0: stage 1 is on rank 1\n  rank 2: [F1.0.0] BW1.0.0");
  EXPECT_EQ(ErrorIn("0F0,0B0\n1F0,1B0\n\n"), "rank 2 holds no stage");
  EXPECT_EQ(ErrorIn("schedule num_stages=1 num_ranks=2 num_micro_batches=1 num_slices=1 pass=step\n"
                    "rank_of_stage 0\nrank 0: F0.0.0 BW0.0.0\nrank 1:\n"),
            "rank 1 holds no stage");
  // A missing backward, and half of one.
  EXPECT_EQ(ErrorIn("0F0,0B0\n1F0\n"), "rank 1 has no BW1.0.0");
  EXPECT_EQ(ErrorIn("0F0,0B0\n1F0,1I0\n"), "rank 1 has no W1.0.0");
  // An op twice.
  EXPECT_EQ(ErrorIn("0F0,0F1,,0B0,0F1,0B1\n"),
            "rank 0, position 3, F0.1.0: is there twice, first at position 1\n"
            "  rank 0: F0.0.0 F0.1.0 BW0.0.0 [F0.1.0] BW0.1.0");
  // A cycle.
  EXPECT_EQ(ErrorIn("0F0,0B0,0F1,0B1\n1F1,1B1,1F0,1B0\n"),
            "deadlock: rank 0, position 1, BW0.0.0 waits for BW1.0.0 of rank 1, position 3; rank "
            "1, position 0, F1.1.0 waits for F0.1.0 of rank 0, position 2\n"
            "  rank 0: F0.0.0 [BW0.0.0] F0.1.0 BW0.1.0\n"
            "  rank 1: [F1.1.0] BW1.1.0 F1.0.0 BW1.0.0");
}

TEST(ReadScheduleFile, NamesThePath) {
  const std::string path = testing::TempDir() + "/wrong.csv";
  std::ofstream(path) << "0F0,0G0\n";
  for (const std::string& wrong : {path, testing::TempDir(), path + ".missing"}) {
    try {
      ReadScheduleFile(wrong);
      ADD_FAILURE() << wrong;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("'" + wrong + "'"), std::string::npos)
          << error.what();
    }
  }
}

TEST(CheckAsWritten, NamesThePathAndTheErrorInOneLine) {
  CheckAsWritten(ParseScheduleFile(kText), "F");
  try {
    CheckAsWritten(ParseScheduleFile("0F0,0B0\n1F0,1F0,1B0\n"), "F");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "'F': rank 1, position 1, F1.0.0: is there twice, first at position 0; rank 1: "
                 "F1.0.0 [F1.0.0] BW1.0.0");
  }
}

}  // namespace
}  // namespace sluice
