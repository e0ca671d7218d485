#include "parallel/schedule/find_error.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "parallel/schedule/communication.h"
#include "parallel/schedule/schedule_text.h"

namespace sluice {
namespace {

// Two stages, two micro-batches of two slices, in the order of Seq1F1B.
constexpr char kCompute[] =
    "schedule num_stages=2 num_ranks=2 num_micro_batches=2 num_slices=2 pass=step\n"
    "rank_of_stage 0 1\n"
    "rank 0: F0.0.0 F0.0.1 F0.1.0 BW0.0.1 F0.1.1 BW0.0.0 BW0.1.1 BW0.1.0\n"
    "rank 1: F1.0.0 F1.0.1 BW1.0.1 F1.1.0 BW1.0.0 F1.1.1 BW1.1.1 BW1.1.0\n";

// One stage with a split backward.
constexpr char kSplit[] =
    "schedule num_stages=1 num_ranks=1 num_micro_batches=1 num_slices=1 pass=step\n"
    "rank_of_stage 0\n"
    "rank 0: F0.0.0 B0.0.0 W0.0.0\n";

Schedule Lowered() { return AddCommunication(ParseSchedule(kCompute)); }

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  return text.replace(text.find(from), from.size(), to);
}

// The error in kSplit with its ops replaced.
std::string ErrorInSplit(std::string_view ops) {
  return FindError(ParseSchedule(Replaced(kSplit, "F0.0.0 B0.0.0 W0.0.0", ops))).value_or("");
}

// The error in the lowered kCompute with a piece of its text replaced.
std::string ErrorAfter(std::string_view from, std::string_view to) {
  return FindError(ParseSchedule(Replaced(FormatSchedule(Lowered()), from, to))).value_or("");
}

void ExpectStartsWith(const std::string& text, const std::string& start) {
  EXPECT_EQ(text.substr(0, start.size()), start) << text;
}

TEST(FindError, FindsNothingInASoundSchedule) {
  EXPECT_EQ(FindError(Lowered()), std::nullopt);
  EXPECT_EQ(FindError(ParseSchedule(kSplit)), std::nullopt);
}

TEST(FindError, ShowsTheListWithTheOpMarked) {
  EXPECT_EQ(ErrorAfter("RA1.0.0 ", ""),
            "rank 1, position 1, F1.0.0: its input comes from rank 0, but rank 1 has no RA1.0.0\n"
            "  rank 1: RA1.0.1 [F1.0.0] F1.0.1 RA1.1.0 BW1.0.1 SG1.0.1 F1.1.0 RA1.1.1 BW1.0.0 "
            "SG1.0.0 ...");
}

TEST(FindError, NamesCountsAndPlacement) {
  Schedule schedule = Lowered();
  schedule.num_slices = 0;
  ExpectStartsWith(*FindError(schedule),
                   "num_stages 2, num_ranks 2, num_micro_batches 2, num_slices 0");
  schedule = Lowered();
  schedule.rank_of_stage = {0, 2};
  ExpectStartsWith(*FindError(schedule), "stage 1 is on rank 2, but there are 2 ranks");
  schedule = Lowered();
  schedule.ops_of_rank.pop_back();
  ExpectStartsWith(*FindError(schedule),
                   "rank_of_stage has 2 entries for 2 stages, and there are 1");
  schedule = Lowered();
  schedule.ops_of_rank[1][0].unit.slice = 2;
  ExpectStartsWith(*FindError(schedule), "rank 1, position 0, RA1.0.2: out of range");
  schedule = Lowered();
  std::swap(schedule.ops_of_rank[0], schedule.ops_of_rank[1]);
  ExpectStartsWith(*FindError(schedule), "rank 0, position 0, RA1.0.0: stage 1 is on rank 1");
  schedule = Lowered();
  schedule.pass = Pass::kForward;
  ExpectStartsWith(*FindError(schedule),
                   "rank 0, position 4, RG0.0.1: a forward pass has no backward");
}

TEST(FindError, NamesMissingAndRepeatedCompute) {
  ExpectStartsWith(ErrorAfter(" F0.1.0", " F0.0.1"),
                   "rank 0, position 5, F0.0.1: is there twice, first at position 2");
  ExpectStartsWith(ErrorAfter(" F0.1.0", ""), "rank 0 has no F0.1.0");
  ExpectStartsWith(ErrorAfter(" BW1.1.0", ""), "rank 1 has no BW1.1.0");
  ExpectStartsWith(ErrorInSplit("F0.0.0 B0.0.0"), "rank 0 has no W0.0.0");
  ExpectStartsWith(ErrorInSplit("F0.0.0 W0.0.0"), "rank 0 has no B0.0.0");
  ExpectStartsWith(ErrorInSplit("F0.0.0 BW0.0.0 W0.0.0"),
                   "rank 0, position 1, BW0.0.0: is the whole backward, but there is W0.0.0 too");
}

TEST(FindError, NamesBrokenDependenciesOnARank) {
  // Slices out of order: of the forward, of the backward, and a backward before the last slice's
  // forward.
  ExpectStartsWith(ErrorAfter("F0.0.0 SA0.0.0 F0.0.1 SA0.0.1", "F0.0.1 SA0.0.1 F0.0.0 SA0.0.0"),
                   "rank 0, position 0, F0.0.1: needs F0.0.0, which comes later, at position 2");
  ExpectStartsWith(ErrorInSplit("F0.0.0 W0.0.0 B0.0.0"),
                   "rank 0, position 1, W0.0.0: needs B0.0.0, which comes later, at position 2");
  ExpectStartsWith(ErrorInSplit("B0.0.0 F0.0.0 W0.0.0"),
                   "rank 0, position 0, B0.0.0: needs F0.0.0, which comes later, at position 1");
  constexpr char kSlices[] =
      "schedule num_stages=1 num_ranks=1 num_micro_batches=1 num_slices=2 pass=step\n"
      "rank_of_stage 0\n"
      "rank 0: F0.0.0 F0.0.1 BW0.0.0 BW0.0.1\n";
  ExpectStartsWith(*FindError(ParseSchedule(kSlices)),
                   "rank 0, position 2, BW0.0.0: needs BW0.0.1, which comes later, at position 3");
  constexpr char kStages[] =
      "schedule num_stages=2 num_ranks=1 num_micro_batches=1 num_slices=1 pass=step\n"
      "rank_of_stage 0 0\n"
      "rank 0: F0.0.0 F1.0.0 BW0.0.0 BW1.0.0\n";
  ExpectStartsWith(*FindError(ParseSchedule(kStages)),
                   "rank 0, position 2, BW0.0.0: needs BW1.0.0, which comes later, at position 3");
}

TEST(FindError, NamesWrongCommunication) {
  ExpectStartsWith(
      ErrorAfter(" SA0.0.1", ""),
      "rank 0, position 2, F0.0.1: rank 1 needs its output, but rank 0 has no SA0.0.1");
  ExpectStartsWith(
      ErrorAfter("F0.0.0 SA0.0.0", "SA0.0.0 F0.0.0"),
      "rank 0, position 0, SA0.0.0: sends what is only made later, by F0.0.0 at position 1");
  ExpectStartsWith(ErrorAfter("RA1.0.0 RA1.0.1 F1.0.0", "RA1.0.1 F1.0.0 RA1.0.0"),
                   "rank 1, position 1, F1.0.0: needs RA1.0.0, which comes later, at position 2");
  ExpectStartsWith(ErrorAfter("RA1.0.0 RA1.0.1", "RA1.0.1 RA1.0.0"),
                   "rank 1, position 0, RA1.0.1: is receive 0 from rank 0, but send 0 of rank 0 to "
                   "rank 1 is SA0.0.0, at position 1");
  ExpectStartsWith(ErrorAfter("rank 0: F0.0.0", "rank 0: RA0.0.0 F0.0.0"),
                   "rank 0, position 0, RA0.0.0: stage 0 is at the end of the pipeline");
  ExpectStartsWith(ErrorInSplit("F0.0.0 SA0.0.0 B0.0.0 W0.0.0"),
                   "rank 0, position 1, SA0.0.0: stage 0 is at the end of the pipeline");
}

TEST(FindError, NamesSendsWithinARank) {
  constexpr char kOneRank[] =
      "schedule num_stages=2 num_ranks=1 num_micro_batches=1 num_slices=1 pass=forward\n"
      "rank_of_stage 0 0\n"
      "rank 0: F0.0.0 SA0.0.0 F1.0.0\n";
  ExpectStartsWith(*FindError(ParseSchedule(kOneRank)),
                   "rank 0, position 1, SA0.0.0: both stages are on this rank");
}

// Rank 0 wants the gradient of micro-batch 0 before it starts micro-batch 1, rank 1 the activation
// of micro-batch 1 before it makes that gradient: no order of communication helps.
TEST(FindError, NamesACircleOfComputeUnderEveryModel) {
  constexpr char kCircle[] =
      "schedule num_stages=2 num_ranks=2 num_micro_batches=2 num_slices=1 pass=step\n"
      "rank_of_stage 0 1\n"
      "rank 0: F0.0.0 BW0.0.0 F0.1.0 BW0.1.0\n"
      "rank 1: F1.0.0 F1.1.0 BW1.0.0 BW1.1.0\n";
  const Schedule schedule = AddCommunication(ParseSchedule(kCircle));
  for (const SendSemantics sends : {SendSemantics::kBuffered, SendSemantics::kRendezvous}) {
    for (const QueueSemantics queues : {QueueSemantics::kPerChannel, QueueSemantics::kSingle}) {
      EXPECT_EQ(FindError(schedule, {sends, queues}).value_or("").find("deadlock"), 0u);
    }
  }
  EXPECT_EQ(*FindError(schedule),
            "deadlock with rendezvous sends and a queue per channel: rank 0, position 3, BW0.0.0 "
            "waits for SG1.0.0 of rank 1, position 5; rank 1, position 3, F1.1.0 waits for SA0.1.0 "
            "of rank 0, position 6\n"
            "  rank 0: RG0.0.0 F0.0.0 SA0.0.0 [BW0.0.0] RG0.1.0 F0.1.0 SA0.1.0 BW0.1.0\n"
            "  rank 1: RA1.0.0 RA1.1.0 F1.0.0 [F1.1.0] BW1.0.0 SG1.0.0 BW1.1.0 SG1.1.0");
}

// The error in kCompute, as an author wrote it, with a piece of its text replaced.
std::string ComputeErrorAfter(std::string_view from, std::string_view to) {
  return FindComputeError(ParseSchedule(Replaced(kCompute, from, to))).value_or("");
}

TEST(FindComputeError, FindsNothingInASoundSchedule) {
  EXPECT_EQ(FindComputeError(ParseSchedule(kCompute)), std::nullopt);
  EXPECT_EQ(FindComputeError(ParseSchedule(kSplit)), std::nullopt);
}

TEST(FindComputeError, NamesPositionsOfTheListAsItWasWritten) {
  EXPECT_EQ(ComputeErrorAfter("F1.1.1 BW1.1.1", "F1.1.1 BW1.0.1"),
            "rank 1, position 6, BW1.0.1: is there twice, first at position 2\n"
            "  rank 1: F1.0.0 F1.0.1 BW1.0.1 F1.1.0 BW1.0.0 F1.1.1 [BW1.0.1] BW1.1.0");
  ExpectStartsWith(ComputeErrorAfter("F0.0.1 F0.1.0", "F1.0.1 F0.1.0"),
                   "rank 0, position 1, F1.0.1: stage 1 is on rank 1");
  ExpectStartsWith(ComputeErrorAfter("F0.0.0 F0.0.1", "F0.0.1 F0.0.0"),
                   "rank 0, position 0, F0.0.1: needs F0.0.0, which comes later, at position 1");
  ExpectStartsWith(ComputeErrorAfter(" BW1.1.0", ""), "rank 1 has no BW1.1.0");
  ExpectStartsWith(ComputeErrorAfter("F0.0.0 F0.0.1", "F0.0.0 SA0.0.0 F0.0.1"),
                   "rank 0, position 1, SA0.0.0: is communication");
  Schedule schedule = ParseSchedule(kCompute);
  schedule.ops_of_rank[1][3].unit.stage = -1;
  ExpectStartsWith(*FindComputeError(schedule), "rank 1, position 3, F-1.1.0: out of range");
}

TEST(FindComputeError, ShowsACircleOfRanks) {
  constexpr char kCircle[] =
      "schedule num_stages=2 num_ranks=2 num_micro_batches=2 num_slices=1 pass=step\n"
      "rank_of_stage 0 1\n"
      "rank 0: F0.0.0 BW0.0.0 F0.1.0 BW0.1.0\n"
      "rank 1: F1.0.0 F1.1.0 BW1.0.0 BW1.1.0\n";
  EXPECT_EQ(*FindComputeError(ParseSchedule(kCircle)),
            "deadlock: rank 0, position 1, BW0.0.0 waits for BW1.0.0 of rank 1, position 2; "
            "rank 1, position 1, F1.1.0 waits for F0.1.0 of rank 0, position 2\n"
            "  rank 0: F0.0.0 [BW0.0.0] F0.1.0 BW0.1.0\n"
            "  rank 1: F1.0.0 [F1.1.0] BW1.0.0 BW1.1.0");
}

// Every op dropped, doubled, moved to the other rank, named for another slice or swapped with
// another: either an error that names a rank, or a schedule that is sound with communication too.
TEST(FindComputeError, JudgesEveryChangeAsFindErrorDoes) {
  const Schedule sound = ParseSchedule(kCompute);
  const auto judge = [](const Schedule& changed) {
    const std::optional<std::string> error = FindComputeError(changed);
    if (error.has_value()) {
      EXPECT_NE(error->find("rank "), std::string::npos) << *error;
    } else {
      EXPECT_EQ(FindError(AddCommunication(changed)), std::nullopt);
    }
  };
  for (int rank = 0; rank < sound.num_ranks; ++rank) {
    const auto num_ops = static_cast<int>(sound.ops_of_rank[rank].size());
    for (int i = 0; i < num_ops; ++i) {
      Schedule changed = sound;
      changed.ops_of_rank[rank].erase(changed.ops_of_rank[rank].begin() + i);
      judge(changed);
      changed.ops_of_rank[1 - rank].push_back(sound.ops_of_rank[rank][i]);
      judge(changed);
      for (int j = 0; j < num_ops; ++j) {
        changed = sound;
        changed.ops_of_rank[rank][i] = sound.ops_of_rank[rank][j];
        judge(changed);
        changed.ops_of_rank[rank][j] = sound.ops_of_rank[rank][i];
        judge(changed);
      }
      changed = sound;
      changed.ops_of_rank[rank][i].unit.slice ^= 1;
      judge(changed);
    }
  }
}

// Every single op dropped, doubled or named for another slice, and every two neighbours swapped
// across a dependency.
TEST(FindError, FindsEveryDroppedDoubledAndRenamedOp) {
  const Schedule sound = Lowered();
  for (int rank = 0; rank < sound.num_ranks; ++rank) {
    for (int i = 0; i < std::ssize(sound.ops_of_rank[rank]); ++i) {
      const std::string op = FormatOp(sound.ops_of_rank[rank][i]);
      Schedule dropped = sound;
      dropped.ops_of_rank[rank].erase(dropped.ops_of_rank[rank].begin() + i);
      Schedule doubled = sound;
      doubled.ops_of_rank[rank].insert(doubled.ops_of_rank[rank].begin() + i,
                                       sound.ops_of_rank[rank][i]);
      Schedule renamed = sound;
      renamed.ops_of_rank[rank][i].unit.slice ^= 1;
      for (const Schedule& wrong : {dropped, doubled, renamed}) {
        const std::optional<std::string> error = FindError(wrong);
        ASSERT_TRUE(error.has_value()) << "rank " << rank << ", " << op;
        EXPECT_EQ(error->find("rank "), 0u) << *error;
        EXPECT_NE(error->find("."), std::string::npos) << *error;
      }
    }
  }
}

// The slice-to-slice and stage-to-stage edges: any two compute ops of a rank swapped are refused
// whenever one needs the other, which for units of one micro-batch is always.
TEST(FindError, FindsSwappedComputeOfAMicroBatch) {
  const Schedule sound = ParseSchedule(kCompute);
  int num_swaps = 0;
  for (int rank = 0; rank < sound.num_ranks; ++rank) {
    const std::vector<Op>& ops = sound.ops_of_rank[rank];
    for (size_t i = 0; i < ops.size(); ++i) {
      for (size_t j = i + 1; j < ops.size(); ++j) {
        if (ops[i].unit.micro_batch != ops[j].unit.micro_batch) continue;
        Schedule swapped = sound;
        std::swap(swapped.ops_of_rank[rank][i], swapped.ops_of_rank[rank][j]);
        const std::optional<std::string> error = FindError(AddCommunication(swapped));
        ASSERT_TRUE(error.has_value()) << FormatOp(ops[i]) << " " << FormatOp(ops[j]);
        EXPECT_EQ(error->find("rank "), 0u) << *error;
        ++num_swaps;
      }
    }
  }
  EXPECT_EQ(num_swaps, 2 * 2 * 6);
}

}  // namespace
}  // namespace sluice
