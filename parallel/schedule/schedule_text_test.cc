#include "parallel/schedule/schedule_text.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "core/base/error.h"

namespace sluice {
namespace {

constexpr char kText[] =
    "schedule num_stages=2 num_ranks=2 num_micro_batches=1 num_slices=2 pass=step\n"
    "rank_of_stage 0 1\n"
    "rank 0: F0.0.0 SA0.0.0 F0.0.1 SA0.0.1 RG0.0.1 BW0.0.1 RG0.0.0 B0.0.0 W0.0.0\n"
    "rank 1: RA1.0.0 F1.0.0 RA1.0.1 F1.0.1 BW1.0.1 SG1.0.1 BW1.0.0 SG1.0.0\n";

// The message of the Error that parsing throws.
std::string ParseError(std::string_view text) {
  try {
    ParseSchedule(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// kText with the first `from` replaced.
std::string Changed(std::string_view from, std::string_view to) {
  std::string text = kText;
  return text.replace(text.find(from), from.size(), to);
}

TEST(ParseSchedule, IsTheInverseOfFormat) {
  const Schedule schedule = ParseSchedule(kText);
  EXPECT_EQ(schedule.num_stages, 2);
  EXPECT_EQ(schedule.num_ranks, 2);
  EXPECT_EQ(schedule.num_micro_batches, 1);
  EXPECT_EQ(schedule.num_slices, 2);
  EXPECT_EQ(schedule.pass, Pass::kStep);
  EXPECT_EQ(schedule.ops_of_rank[0][7], (Op{OpKind::kBackwardInput, {0, 0, 0}}));
  EXPECT_EQ(schedule.ops_of_rank[1][5], (Op{OpKind::kSendGradient, {1, 0, 1}}));
  EXPECT_EQ(FormatSchedule(schedule), kText);
}

TEST(ParseSchedule, ReadsAnEmptyListAndAForwardPass) {
  constexpr char kEmpty[] =
      "schedule num_stages=1 num_ranks=2 num_micro_batches=1 num_slices=1 pass=forward\n"
      "rank_of_stage 1\n"
      "rank 0:\n"
      "rank 1: F0.0.0\n";
  EXPECT_EQ(ParseSchedule(kEmpty).pass, Pass::kForward);
  EXPECT_EQ(FormatSchedule(ParseSchedule(kEmpty)), kEmpty);
}

TEST(ParseSchedule, NamesLineAndColumn) {
  EXPECT_EQ(ParseError(""),
            "schedule, line 1, column 1: found the end of the text, expected 'schedule'");
  EXPECT_EQ(
      ParseError(Changed("num_ranks=2", "num_ranks=0")),
      "schedule, line 1, column 33: found '0', expected num_ranks, a number from 1 to 4000000");
  EXPECT_EQ(ParseError(Changed("pass=step", "pass=back")),
            "schedule, line 1, column 73: found 'back', expected 'forward' or 'step'");
  EXPECT_EQ(ParseError(Changed("rank_of_stage 0 1", "rank_of_stage 0 2")),
            "schedule, line 2, column 17: found '2', expected a rank, a number from 0 to 1");
  EXPECT_EQ(ParseError(Changed("rank_of_stage 0 1", "rank_of_stage 0")),
            "schedule, line 2, column 16: found the end of the line, expected ' '");
  EXPECT_EQ(
      ParseError(Changed("F0.0.0", "G0.0.0")),
      "schedule, line 3, column 9: found 'G0.0.0', expected an op: F, BW, B, W, SA, RA, SG or "
      "RG and stage.micro_batch.slice");
  EXPECT_EQ(ParseError(Changed("F1.0.1", "F1.0.2")),
            "schedule, line 4, column 37: found '2', expected a slice, a number from 0 to 1");
  EXPECT_EQ(ParseError(std::string(kText) + "x"),
            "schedule, line 5, column 1: found 'x', expected the end of the text");
}

TEST(ParseSchedule, RefusesWhatFormatNeverWrites) {
  for (const std::string& text :
       {Changed("F0.0.0", " F0.0.0"), Changed("F0.0.0", "F00.0.0"), Changed("F0.0.0", "F-0.0.0"),
        Changed("F0.0.0", "F0.0"), Changed("F0.0.0", "f0.0.0"), Changed("F0.0.0", "F0.0.0x"),
        Changed("rank 1:", "rank 0:"), Changed("rank 1:", "rank 1"),
        Changed("num_stages=2", "num_stages=99999999999999999999"),
        Changed("num_stages=2", "num_stages=4000000"), Changed("\nrank 1", " \nrank 1"),
        std::string(kText) + "\n", std::string(kText, sizeof(kText) - 2),
        std::string("schedule\0", 9)}) {
    EXPECT_EQ(ParseError(text).find("schedule, line "), 0u) << text << ParseError(text);
  }
}

TEST(OpLabel, NamesKindAndUnit) {
  EXPECT_EQ(OpLabel({OpKind::kForward, {1, 0, 3}}).text(),
            "Forward(stage=1, micro_batch=0, slice=3)");
  // The longest: no two numbers of a unit can be large.
  EXPECT_EQ(OpLabel({OpKind::kBackwardWeight, {kMaxNumUnits - 1, 0, 0}}).text(),
            "BackwardWeight(stage=3999999, micro_batch=0, slice=0)");
  EXPECT_EQ(OpLabel({OpKind::kSendActivation, {1999, 999, 1}}).text(),
            "SendActivation(stage=1999, micro_batch=999, slice=1)");
}

TEST(OpLabel, HasAllKinds) {
  const std::pair<OpKind, std::string> kinds[] = {{OpKind::kForward, "Forward"},
                                                  {OpKind::kBackward, "Backward"},
                                                  {OpKind::kBackwardInput, "BackwardInput"},
                                                  {OpKind::kBackwardWeight, "BackwardWeight"},
                                                  {OpKind::kSendActivation, "SendActivation"},
                                                  {OpKind::kRecvActivation, "RecvActivation"},
                                                  {OpKind::kSendGradient, "SendGradient"},
                                                  {OpKind::kRecvGradient, "RecvGradient"}};
  for (const auto& [kind, name] : kinds) {
    EXPECT_EQ(OpLabel({kind, {}}).text(), name + "(stage=0, micro_batch=0, slice=0)");
  }
}

TEST(HashOf, TellsSchedulesApart) {
  const uint64_t hash = HashOf(ParseSchedule(kText));
  EXPECT_EQ(HashOf(ParseSchedule(kText)), hash);
  for (const auto& [from, to] :
       {std::pair("F0.0.1 SA0.0.1", "SA0.0.1 F0.0.1"), std::pair("BW0.0.1", "B0.0.1"),
        std::pair(" SG1.0.0", ""), std::pair("num_micro_batches=1", "num_micro_batches=2")}) {
    EXPECT_NE(HashOf(ParseSchedule(Changed(from, to))), hash) << from;
  }
}

TEST(ParseSchedule, EveryPrefixIsRefused) {
  const std::string text = kText;
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_NE(ParseError(text.substr(0, size)), "no error") << size;
  }
}

}  // namespace
}  // namespace sluice
