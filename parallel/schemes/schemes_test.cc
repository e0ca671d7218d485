#include "parallel/schemes/schemes.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "parallel/schedule/communication.h"
#include "parallel/schedule/find_error.h"
#include "parallel/schedule/schedule_file.h"
#include "parallel/schedule/schedule_text.h"
#include "parallel/schemes/golden_text.h"

namespace sluice {
namespace {

// The message of the Error that building throws.
std::string BuildError(std::string_view scheme, const ScheduleShape& shape) {
  try {
    BuildSchedule(FindScheme(scheme), shape);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Schemes, MatchGoldenText) {
  for (const Scheme& scheme : Schemes()) {
    const std::string path = "parallel/schemes/golden/" + std::string(scheme.name) + ".txt";
    std::ifstream file(path);
    std::stringstream golden;
    golden << file.rdbuf();
    EXPECT_EQ(golden.str(), GoldenText(scheme))
        << "Read what the scheme builds; if it is right, write it to the file:\n  ./bazelw run "
           "//tools/schedule -- golden --scheme="
        << scheme.name << " > " << path;
  }
}

// PyTorch's own schedules, with 2 ranks, 2 stages per rank and 4 micro-batches.
TEST(Schemes, MatchThoseOfPyTorch) {
  for (const auto& [name, pytorch_name] :
       {std::pair<std::string, std::string>("interleaved_one_f_one_b", "Interleaved1F1B"),
        {"zero_bubble_v", "ZBVZeroBubble"},
        {"dualpipe_v", "DualPipeV"}}) {
    const Scheme& scheme = FindScheme(name);
    const Schedule schedule =
        BuildSchedule(scheme, {.num_ranks = 2,
                               .num_micro_batches = 4,
                               .num_chunks = (scheme.shape_fields & kUsesChunks) ? 2 : 1});
    EXPECT_EQ(schedule, ReadScheduleFile("parallel/schedule/testdata/pytorch_csv/Schedule" +
                                         pytorch_name + "_p2_v2_m4.csv"))
        << FormatSchedule(schedule);
  }
}

TEST(Schemes, AreFoundByName) {
  for (const Scheme& scheme : Schemes()) EXPECT_EQ(&FindScheme(scheme.name), &scheme);
}

TEST(Schemes, NameTheNearestAndAllWhenThereIsNone) {
  try {
    FindScheme("one_f_one_d");
    FAIL();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("unknown scheme 'one_f_one_d'; did you mean 'one_f_one_b'?"),
              std::string::npos)
        << message;
    EXPECT_NE(message.find("seqpipe"), std::string::npos) << message;
  }
}

// The flags and PlanJob refuse numbers under 1 with an Error.
TEST(SchemesDeathTest, NumbersUnderOneAreAnErrorOfTheCaller) {
  for (const ScheduleShape& shape :
       {ScheduleShape{.num_ranks = 0}, ScheduleShape{.num_micro_batches = -1},
        ScheduleShape{.num_slices = 0}, ScheduleShape{.num_chunks = 0}}) {
    EXPECT_DEATH(BuildSchedule(FindScheme("gpipe"), shape), "field.value >= 1");
  }
}

TEST(Schemes, RefuseFieldsThatTheyDoNotUse) {
  EXPECT_EQ(
      BuildError("gpipe", {.num_ranks = 2, .num_chunks = 2})
          .find("num_chunks 2 is not allowed with scheme gpipe: it must be 1; schemes that use it: "
                "interleaved_one_f_one_b"),
      0u);
  EXPECT_EQ(
      BuildError("one_f_one_b", {.num_slices = 4})
          .find("num_slices 4 is not allowed with scheme one_f_one_b: it must be 1; schemes that "
                "use it: single seqpipe seq_one_f_one_b"),
      0u);
  EXPECT_EQ(BuildError("single", {.num_ranks = 4})
                .find("num_ranks 4 is not allowed with scheme single: it must be 1"),
            0u);
}

TEST(Schemes, InterleavedNeedsWholeGroupsOfMicroBatches) {
  EXPECT_EQ(BuildError("interleaved_one_f_one_b",
                       {.num_ranks = 4, .num_micro_batches = 6, .num_chunks = 2}),
            "num_micro_batches 6 is not allowed with scheme interleaved_one_f_one_b: it must be a "
            "multiple of num_ranks 4");
}

TEST(Schemes, RefuseMoreUnitsThanTheyCanHold) {
  EXPECT_NE(BuildError("seqpipe", {1000, 1000, 1000}).find("makes 1000000000 units"),
            std::string::npos);
  EXPECT_NE(BuildError("seqpipe", {2'000'000'000, 2'000'000'000, 2'000'000'000}), "no error");
}

// The error of a scheme like gpipe on two ranks whose builder then changes the list of one.
std::string ErrorOfChanged(Pass pass, void (*change)(std::vector<Op>& ops, int rank)) {
  static void (*change_ops)(std::vector<Op>&, int);
  change_ops = change;
  Scheme scheme = FindScheme("gpipe");
  scheme.build = [](const ScheduleShape& shape, int rank) {
    std::vector<Op> ops = FindScheme("gpipe").build(shape, rank);
    change_ops(ops, rank);
    return ops;
  };
  try {
    BuildSchedule(scheme, {.num_ranks = 2, .num_micro_batches = 2, .pass = pass});
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Schemes, AWrongListIsRefusedInItsOwnPositions) {
  EXPECT_EQ(ErrorOfChanged(Pass::kStep, [](std::vector<Op>&, int) {}), "no error");
  EXPECT_EQ(
      ErrorOfChanged(Pass::kStep, [](std::vector<Op>& ops, int) { ops[1].unit.stage = 1; }),
      "the schedule that scheme gpipe builds is wrong: rank 0, position 1, F1.1.0: stage 1 is "
      "on rank 1\n  rank 0: F0.0.0 [F1.1.0] BW0.1.0 BW0.0.0");
  EXPECT_EQ(ErrorOfChanged(Pass::kStep,
                           [](std::vector<Op>& ops, int rank) {
                             if (rank == 1) ops[3] = ops[2];
                           }),
            "the schedule that scheme gpipe builds is wrong: rank 1, position 3, BW1.1.0: is there "
            "twice, first at position 2\n  rank 1: F1.0.0 F1.1.0 BW1.1.0 [BW1.1.0]");
  // A forward pass has the positions of the step that its author wrote.
  EXPECT_EQ(ErrorOfChanged(Pass::kForward, [](std::vector<Op>& ops, int) { ops.pop_back(); }),
            "the schedule that scheme gpipe builds is wrong: rank 0 has no BW0.0.0");
}

TEST(Schemes, OneForwardOneBackwardTakesUnevenLists) {
  const Unit a = {0, 0}, b = {0, 1};
  EXPECT_EQ(
      OneForwardOneBackward({a, b}, {a}, 0),
      (std::vector<Op>{{OpKind::kForward, a}, {OpKind::kBackward, a}, {OpKind::kForward, b}}));
  EXPECT_EQ(
      OneForwardOneBackward({a}, {a, b}, 0),
      (std::vector<Op>{{OpKind::kForward, a}, {OpKind::kBackward, a}, {OpKind::kBackward, b}}));
}

TEST(Schemes, InterleavedPlacesChunksInALoop) {
  const Scheme& scheme = FindScheme("interleaved_one_f_one_b");
  const ScheduleShape shape = {.num_ranks = 3, .num_micro_batches = 3, .num_chunks = 2};
  EXPECT_EQ(NumStages(scheme, shape), 6);
  EXPECT_EQ(BuildSchedule(scheme, shape).rank_of_stage, (std::vector<int>{0, 1, 2, 0, 1, 2}));
}

}  // namespace
}  // namespace sluice
