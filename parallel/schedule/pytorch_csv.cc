#include "parallel/schedule/pytorch_csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "parallel/schedule/text_cursor.h"

namespace sluice {
namespace {

constexpr std::string_view kAllowed =
    "stage, letter (F, B, I or W) and micro-batch, such as 0F3, or a pair of a forward and a "
    "backward, such as (0F3;3B1)OVERLAP_F_B; communication is added to the file's ops";

std::optional<OpKind> KindOf(std::string_view letters) {
  if (letters == "F") return OpKind::kForward;
  if (letters == "B") return OpKind::kBackward;
  if (letters == "I") return OpKind::kBackwardInput;
  if (letters == "W") return OpKind::kBackwardWeight;
  return std::nullopt;
}

class Parser {
 public:
  explicit Parser(std::string_view text)
      : cursor_(text, " \t,;()\r\n", [this] {
          return fmt::format("rank {}, position {}, ", schedule_.ops_of_rank.size() - 1,
                             schedule_.ops_of_rank.back().size());
        }) {}

  Schedule Parse();

 private:
  void ParseRank();
  void ParseCell();
  std::optional<Op> ParseOp();
  void SkipBlanks();
  void CountStagesAndMicroBatches();
  void PlaceStages();

  internal::TextCursor cursor_;
  Schedule schedule_ = {.num_slices = 1, .pass = Pass::kForward};
};

std::optional<Op> Parser::ParseOp() {
  const std::optional<int> stage = cursor_.TakeNumber(0, kMaxNumUnits - 1);
  const std::optional<OpKind> kind = KindOf(cursor_.TakeCapitals());
  const std::optional<int> micro_batch = cursor_.TakeNumber(0, kMaxNumUnits - 1);
  if (!stage || !kind || !micro_batch) return std::nullopt;
  return Op{*kind, {.stage = *stage, .micro_batch = *micro_batch}};
}

void Parser::ParseCell() {
  const size_t begin = cursor_.position();
  const bool is_pair = cursor_.Consume("(");
  const std::optional<Op> first = ParseOp();
  if (!first) cursor_.Fail(begin, kAllowed);
  std::vector<Op>& ops = schedule_.ops_of_rank.back();
  if (!is_pair) {
    ops.push_back(*first);
    return;
  }
  const bool has_second = cursor_.Consume(";");
  const std::optional<Op> second = ParseOp();
  if (!has_second || !second || !cursor_.Consume(")OVERLAP_F_B") ||
      first->kind != OpKind::kForward || !MakesInputGradient(second->kind)) {
    cursor_.Fail(begin, kAllowed);
  }
  ops.insert(ops.end(), {*first, *second});
}

void Parser::SkipBlanks() {
  while (cursor_.Consume(" ") || cursor_.Consume("\t")) {
  }
}

void Parser::ParseRank() {
  schedule_.ops_of_rank.emplace_back();
  const auto at_end_of_line = [this] {
    return cursor_.AtEnd() || cursor_.Consume("\r\n") || cursor_.Consume("\n");
  };
  SkipBlanks();
  while (!at_end_of_line()) {
    if (!cursor_.Consume(",")) {
      ParseCell();
      SkipBlanks();
      if (at_end_of_line()) return;
      if (!cursor_.Consume(",")) cursor_.Fail(cursor_.position(), "',' or the end of the line");
    }
    SkipBlanks();
  }
}

void Parser::CountStagesAndMicroBatches() {
  for (const std::vector<Op>& ops : schedule_.ops_of_rank) {
    for (const auto& [kind, unit] : ops) {
      schedule_.num_stages = std::max(schedule_.num_stages, unit.stage + 1);
      schedule_.num_micro_batches = std::max(schedule_.num_micro_batches, unit.micro_batch + 1);
      if (!IsOfForward(kind)) schedule_.pass = Pass::kStep;
    }
  }
  schedule_.num_ranks = static_cast<int>(schedule_.ops_of_rank.size());
  if (schedule_.num_stages == 0) throw Error("there is no op");
  const int64_t num_units = int64_t{schedule_.num_stages} * schedule_.num_micro_batches;
  if (num_units > kMaxNumUnits) {
    throw Error(fmt::format("{} stages x {} micro-batches are {} units; at most {} are allowed",
                            schedule_.num_stages, schedule_.num_micro_batches, num_units,
                            kMaxNumUnits));
  }
}

void Parser::PlaceStages() {
  constexpr int kNone = -1;
  schedule_.rank_of_stage.assign(static_cast<size_t>(schedule_.num_stages), kNone);
  for (int rank = 0; rank < schedule_.num_ranks; ++rank) {
    for (const Op& op : schedule_.ops_of_rank[rank]) {
      int& rank_of_stage = schedule_.rank_of_stage[op.unit.stage];
      if (rank_of_stage == kNone) rank_of_stage = rank;
    }
  }
  const auto missing = std::ranges::find(schedule_.rank_of_stage, kNone);
  if (missing != schedule_.rank_of_stage.end()) {
    throw Error(fmt::format("no rank has an op of stage {}, but there is a stage {}",
                            missing - schedule_.rank_of_stage.begin(), schedule_.num_stages - 1));
  }
}

Schedule Parser::Parse() {
  while (!cursor_.AtEnd()) ParseRank();
  CountStagesAndMicroBatches();
  PlaceStages();
  return std::move(schedule_);
}

}  // namespace

Schedule ParsePyTorchCsv(std::string_view text) { return Parser(text).Parse(); }

}  // namespace sluice
