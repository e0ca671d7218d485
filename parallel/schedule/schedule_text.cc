#include "parallel/schedule/schedule_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <optional>
#include <utility>

#include "core/base/checked_math.h"
#include "parallel/schedule/text_cursor.h"

namespace sluice {
namespace {

constexpr std::array<std::pair<std::string_view, OpKind>, kNumOpKinds> kKindNames = {{
    {"F", OpKind::kForward},
    {"BW", OpKind::kBackward},
    {"B", OpKind::kBackwardInput},
    {"W", OpKind::kBackwardWeight},
    {"SA", OpKind::kSendActivation},
    {"RA", OpKind::kRecvActivation},
    {"SG", OpKind::kSendGradient},
    {"RG", OpKind::kRecvGradient},
}};

std::string_view LongKindName(OpKind kind) {
  switch (kind) {
    case OpKind::kForward:
      return "Forward";
    case OpKind::kBackward:
      return "Backward";
    case OpKind::kBackwardInput:
      return "BackwardInput";
    case OpKind::kBackwardWeight:
      return "BackwardWeight";
    case OpKind::kSendActivation:
      return "SendActivation";
    case OpKind::kRecvActivation:
      return "RecvActivation";
    case OpKind::kSendGradient:
      return "SendGradient";
    case OpKind::kRecvGradient:
      return "RecvGradient";
  }
  return "?";
}

std::string_view KindName(OpKind kind) {
  for (const auto& [name, named_kind] : kKindNames) {
    if (named_kind == kind) return name;
  }
  return "?";
}

class Parser {
 public:
  explicit Parser(std::string_view text)
      : cursor_(text, " \n", [] { return std::string("schedule, "); }) {}

  Schedule Parse();

 private:
  void ParseHeader();
  void ParseRank(int rank);
  Op ParseOp();
  OpKind ParseKind();
  int ParseCount(std::string_view name);
  int ParseNumber(std::string_view name, int min, int max);

  internal::TextCursor cursor_;
  Schedule schedule_;
};

int Parser::ParseNumber(std::string_view name, int min, int max) {
  const size_t begin = cursor_.position();
  if (const std::optional<int> number = cursor_.TakeNumber(min, max)) return *number;
  cursor_.Fail(begin, fmt::format("{}, a number from {} to {}", name, min, max));
}

int Parser::ParseCount(std::string_view name) {
  cursor_.Expect(" ");
  cursor_.Expect(fmt::format("{}=", name));
  return ParseNumber(name, 1, kMaxNumUnits);
}

void Parser::ParseHeader() {
  cursor_.Expect("schedule");
  schedule_.num_stages = ParseCount("num_stages");
  schedule_.num_ranks = ParseCount("num_ranks");
  schedule_.num_micro_batches = ParseCount("num_micro_batches");
  schedule_.num_slices = ParseCount("num_slices");
  const int64_t num_units =
      CheckedProduct("num_stages x num_micro_batches x num_slices",
                     {schedule_.num_stages, schedule_.num_micro_batches, schedule_.num_slices});
  if (num_units > kMaxNumUnits) {
    cursor_.Fail(0, fmt::format("at most {} units (num_stages x num_micro_batches x num_slices), "
                                "not {}",
                                kMaxNumUnits, num_units));
  }
  cursor_.Expect(" ");
  cursor_.Expect("pass=");
  if (cursor_.Consume("forward")) {
    schedule_.pass = Pass::kForward;
  } else if (!cursor_.Consume("step")) {
    cursor_.Fail(cursor_.position(), "'forward' or 'step'");
  }
  cursor_.Expect("\n");
  cursor_.Expect("rank_of_stage");
  for (int stage = 0; stage < schedule_.num_stages; ++stage) {
    cursor_.Expect(" ");
    schedule_.rank_of_stage.push_back(ParseNumber("a rank", 0, schedule_.num_ranks - 1));
  }
  cursor_.Expect("\n");
}

OpKind Parser::ParseKind() {
  const size_t begin = cursor_.position();
  const std::string_view letters = cursor_.TakeCapitals();
  for (const auto& [name, kind] : kKindNames) {
    if (letters == name) return kind;
  }
  cursor_.Fail(begin, "an op: F, BW, B, W, SA, RA, SG or RG and stage.micro_batch.slice");
}

Op Parser::ParseOp() {
  Op op;
  op.kind = ParseKind();
  op.unit.stage = ParseNumber("a stage", 0, schedule_.num_stages - 1);
  cursor_.Expect(".");
  op.unit.micro_batch = ParseNumber("a micro-batch", 0, schedule_.num_micro_batches - 1);
  cursor_.Expect(".");
  op.unit.slice = ParseNumber("a slice", 0, schedule_.num_slices - 1);
  return op;
}

void Parser::ParseRank(int rank) {
  cursor_.Expect(fmt::format("rank {}:", rank));
  std::vector<Op>& ops = schedule_.ops_of_rank.emplace_back();
  while (cursor_.Consume(" ")) ops.push_back(ParseOp());
  cursor_.Expect("\n");
}

Schedule Parser::Parse() {
  ParseHeader();
  for (int rank = 0; rank < schedule_.num_ranks; ++rank) ParseRank(rank);
  if (!cursor_.AtEnd()) cursor_.Fail(cursor_.position(), "the end of the text");
  return std::move(schedule_);
}

}  // namespace

std::string FormatOp(const Op& op) {
  return fmt::format("{}{}.{}.{}", KindName(op.kind), op.unit.stage, op.unit.micro_batch,
                     op.unit.slice);
}

OpLabel::OpLabel(const Op& op) {
  char* const end = text_.data() + text_.size();
  char* at = text_.data();
  const auto add_text = [&](std::string_view text) {
    at = std::copy(text.begin(), text.end(), at);
  };
  const auto add_number = [&](int number) { at = std::to_chars(at, end, number).ptr; };
  add_text(LongKindName(op.kind));
  add_text("(stage=");
  add_number(op.unit.stage);
  add_text(", micro_batch=");
  add_number(op.unit.micro_batch);
  add_text(", slice=");
  add_number(op.unit.slice);
  add_text(")");
  size_ = static_cast<size_t>(at - text_.data());
}

std::string FormatSchedule(const Schedule& schedule) {
  std::string text = fmt::format(
      "schedule num_stages={} num_ranks={} num_micro_batches={} num_slices={} pass={}\n"
      "rank_of_stage {}\n",
      schedule.num_stages, schedule.num_ranks, schedule.num_micro_batches, schedule.num_slices,
      schedule.pass == Pass::kForward ? "forward" : "step", fmt::join(schedule.rank_of_stage, " "));
  for (size_t rank = 0; rank < schedule.ops_of_rank.size(); ++rank) {
    text += fmt::format("rank {}:", rank);
    for (const Op& op : schedule.ops_of_rank[rank]) text += " " + FormatOp(op);
    text += "\n";
  }
  return text;
}

Schedule ParseSchedule(std::string_view text) { return Parser(text).Parse(); }

}  // namespace sluice
