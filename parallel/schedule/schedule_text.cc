#include "parallel/schedule/schedule_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/base/checked_math.h"
#include "core/base/error.h"

namespace sluice {
namespace {

constexpr std::array<std::pair<std::string_view, OpKind>, 8> kKindNames = {{
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
  explicit Parser(std::string_view text) : text_(text) {}

  Schedule Parse();

 private:
  void ParseHeader();
  void ParseRank(int rank);
  Op ParseOp();
  OpKind ParseKind();
  int ParseCount(std::string_view name);
  // Returns a number from `min` to `max`.
  int ParseNumberUpTo(std::string_view name, int min, int max);
  void Expect(std::string_view word);
  bool Consume(std::string_view word);
  [[noreturn]] void Fail(size_t position, std::string_view allowed) const;

  std::string_view text_;
  size_t position_ = 0;
  Schedule schedule_;
};

void Parser::Fail(size_t position, std::string_view allowed) const {
  size_t line = 1;
  size_t line_begin = 0;
  for (size_t i = 0; i < position; ++i) {
    if (text_[i] != '\n') continue;
    ++line;
    line_begin = i + 1;
  }
  const std::string_view rest = text_.substr(position);
  std::string found;
  for (const char c : rest.substr(0, std::min<size_t>(rest.find_first_of(" \n"), 20))) {
    found += (c >= ' ' && c <= '~') ? c : '?';
  }
  if (rest.empty()) {
    found = "the end of the text";
  } else if (rest[0] == '\n') {
    found = "the end of the line";
  } else {
    found = "'" + (found.empty() ? std::string(1, ' ') : found) + "'";
  }
  throw Error(fmt::format("schedule, line {}, column {}: found {}, expected {}", line,
                          position - line_begin + 1, found, allowed));
}

bool Parser::Consume(std::string_view word) {
  if (!text_.substr(position_).starts_with(word)) return false;
  position_ += word.size();
  return true;
}

void Parser::Expect(std::string_view word) {
  if (!Consume(word))
    Fail(position_, word == "\n" ? "the end of the line" : fmt::format("'{}'", word));
}

int Parser::ParseNumberUpTo(std::string_view name, int min, int max) {
  const size_t begin = position_;
  int64_t value = 0;
  while (position_ < text_.size() && text_[position_] >= '0' && text_[position_] <= '9' &&
         value <= max) {
    value = value * 10 + (text_[position_++] - '0');
  }
  const bool has_leading_zero = position_ - begin > 1 && text_[begin] == '0';
  if (position_ == begin || has_leading_zero || value < min || value > max) {
    Fail(begin, fmt::format("{}, a number from {} to {}", name, min, max));
  }
  return static_cast<int>(value);
}

int Parser::ParseCount(std::string_view name) {
  Expect(" ");
  Expect(fmt::format("{}=", name));
  return ParseNumberUpTo(name, 1, kMaxNumUnits);
}

void Parser::ParseHeader() {
  Expect("schedule");
  schedule_.num_stages = ParseCount("num_stages");
  schedule_.num_ranks = ParseCount("num_ranks");
  schedule_.num_micro_batches = ParseCount("num_micro_batches");
  schedule_.num_slices = ParseCount("num_slices");
  const int64_t num_units =
      CheckedProduct("num_stages x num_micro_batches x num_slices",
                     {schedule_.num_stages, schedule_.num_micro_batches, schedule_.num_slices});
  if (num_units > kMaxNumUnits) {
    Fail(0, fmt::format("at most {} units (num_stages x num_micro_batches x num_slices), not {}",
                        kMaxNumUnits, num_units));
  }
  Expect(" ");
  Expect("pass=");
  if (Consume("forward")) {
    schedule_.pass = Pass::kForward;
  } else if (!Consume("step")) {
    Fail(position_, "'forward' or 'step'");
  }
  Expect("\n");
  Expect("rank_of_stage");
  for (int stage = 0; stage < schedule_.num_stages; ++stage) {
    Expect(" ");
    schedule_.rank_of_stage.push_back(ParseNumberUpTo("a rank", 0, schedule_.num_ranks - 1));
  }
  Expect("\n");
}

OpKind Parser::ParseKind() {
  size_t end = position_;
  while (end < text_.size() && text_[end] >= 'A' && text_[end] <= 'Z') ++end;
  for (const auto& [name, kind] : kKindNames) {
    if (text_.substr(position_, end - position_) == name) {
      position_ = end;
      return kind;
    }
  }
  Fail(position_, "an op: F, BW, B, W, SA, RA, SG or RG and stage.micro_batch.slice");
}

Op Parser::ParseOp() {
  Op op;
  op.kind = ParseKind();
  op.unit.stage = ParseNumberUpTo("a stage", 0, schedule_.num_stages - 1);
  Expect(".");
  op.unit.micro_batch = ParseNumberUpTo("a micro-batch", 0, schedule_.num_micro_batches - 1);
  Expect(".");
  op.unit.slice = ParseNumberUpTo("a slice", 0, schedule_.num_slices - 1);
  return op;
}

void Parser::ParseRank(int rank) {
  Expect(fmt::format("rank {}:", rank));
  std::vector<Op>& ops = schedule_.ops_of_rank.emplace_back();
  while (Consume(" ")) ops.push_back(ParseOp());
  Expect("\n");
}

Schedule Parser::Parse() {
  ParseHeader();
  for (int rank = 0; rank < schedule_.num_ranks; ++rank) ParseRank(rank);
  if (position_ != text_.size()) Fail(position_, "the end of the text");
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
