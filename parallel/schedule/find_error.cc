#include "parallel/schedule/find_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

#include "parallel/schedule/op_positions.h"
#include "parallel/schedule/replay.h"
#include "parallel/schedule/schedule_text.h"

namespace sluice {
namespace {

using MaybeError = std::optional<std::string>;

bool IsIn(int value, int count) { return value >= 0 && value < count; }

// The ops around `position` of a rank's list, with that one in brackets.
std::string ShowList(const Schedule& schedule, int rank, int position) {
  constexpr int kNumShownAround = 8;
  const std::vector<Op>& ops = schedule.ops_of_rank[rank];
  const int begin = std::max(0, position - kNumShownAround);
  const int end = std::min<int>(std::ssize(ops), position + kNumShownAround + 1);
  std::string text = fmt::format("\n  rank {}:{}", rank, begin > 0 ? " ..." : "");
  for (int i = begin; i < end; ++i) {
    text += i == position ? fmt::format(" [{}]", FormatOp(ops[i])) : " " + FormatOp(ops[i]);
  }
  return text + (end < std::ssize(ops) ? " ..." : "");
}

// "rank 1, position 0, F1.0.0"
std::string Place(const Schedule& schedule, int rank, int position) {
  return fmt::format("rank {}, position {}, {}", rank, position,
                     FormatOp(schedule.ops_of_rank[rank][position]));
}

std::string ErrorAt(const Schedule& schedule, int rank, int position, std::string_view what) {
  return fmt::format("{}: {}{}", Place(schedule, rank, position), what,
                     ShowList(schedule, rank, position));
}

// Returns the first error that `find(rank, position, op)` returns over all ops.
template <typename Find>
MaybeError FirstErrorOfOps(const Schedule& schedule, const Find& find) {
  for (int rank = 0; rank < schedule.num_ranks; ++rank) {
    const std::vector<Op>& ops = schedule.ops_of_rank[rank];
    for (int i = 0; i < std::ssize(ops); ++i) {
      if (MaybeError error = find(rank, i, ops[i])) return error;
    }
  }
  return std::nullopt;
}

MaybeError FindSizeError(const Schedule& s) {
  if (s.num_stages < 1 || s.num_ranks < 1 || s.num_micro_batches < 1 || s.num_slices < 1) {
    return fmt::format(
        "num_stages {}, num_ranks {}, num_micro_batches {}, num_slices {}: each must be at least 1",
        s.num_stages, s.num_ranks, s.num_micro_batches, s.num_slices);
  }
  if (std::ssize(s.rank_of_stage) != s.num_stages || std::ssize(s.ops_of_rank) != s.num_ranks) {
    return fmt::format(
        "rank_of_stage has {} entries for {} stages, and there are {} lists for {} ranks",
        s.rank_of_stage.size(), s.num_stages, s.ops_of_rank.size(), s.num_ranks);
  }
  for (int stage = 0; stage < s.num_stages; ++stage) {
    if (!IsIn(s.rank_of_stage[stage], s.num_ranks)) {
      return fmt::format("stage {} is on rank {}, but there are {} ranks", stage,
                         s.rank_of_stage[stage], s.num_ranks);
    }
  }
  return std::nullopt;
}

MaybeError FindUnitError(const Schedule& s) {
  return FirstErrorOfOps(s, [&](int rank, int position, const Op& op) -> MaybeError {
    const auto [stage, micro_batch, slice] = op.unit;
    if (!IsIn(stage, s.num_stages) || !IsIn(micro_batch, s.num_micro_batches) ||
        !IsIn(slice, s.num_slices)) {
      return ErrorAt(s, rank, position,
                     fmt::format("out of range: there are {} stages, {} micro-batches, {} slices",
                                 s.num_stages, s.num_micro_batches, s.num_slices));
    }
    if (s.rank_of_stage[stage] != rank) {
      return ErrorAt(s, rank, position,
                     fmt::format("stage {} is on rank {}", stage, s.rank_of_stage[stage]));
    }
    const bool is_forward = op.kind == OpKind::kForward || op.kind == OpKind::kSendActivation ||
                            op.kind == OpKind::kRecvActivation;
    if (s.pass == Pass::kForward && !is_forward) {
      return ErrorAt(s, rank, position, "a forward pass has no backward");
    }
    return std::nullopt;
  });
}

// The rest of the checks, for a schedule whose sizes and units are in range.
class Judge {
 public:
  Judge(const Schedule& schedule, const ExecutionModel& model)
      : s_(schedule), model_(model), positions_(schedule) {}

  MaybeError FindError() const {
    for (auto find : {&Judge::FindRepeatedOp, &Judge::FindMissingCompute, &Judge::FindWrongOrder,
                      &Judge::FindMissingCommunication, &Judge::FindWrongCommunication,
                      &Judge::FindUnmatchedChannel, &Judge::FindDeadlock}) {
      if (MaybeError error = (this->*find)()) return error;
    }
    return std::nullopt;
  }

 private:
  MaybeError FindRepeatedOp() const;
  MaybeError FindMissingCompute() const;
  MaybeError FindWrongOrder() const;
  MaybeError FindMissingCommunication() const;
  MaybeError FindWrongCommunication() const;
  MaybeError FindUnmatchedChannel() const;
  MaybeError FindDeadlock() const;

  MaybeError FindMissingComputeOf(const Unit& unit) const;
  std::vector<Op> Dependencies(const Op& op) const;
  Op InputGradientOp(const Unit& unit) const;
  std::string ShowCircle(const std::vector<int>& stopped_at) const;

  bool Has(const Op& op) const { return positions_.Find(op) >= 0; }

  const Schedule& s_;
  const ExecutionModel& model_;
  const OpPositions positions_;
};

MaybeError Judge::FindRepeatedOp() const {
  return FirstErrorOfOps(s_, [&](int rank, int position, const Op& op) -> MaybeError {
    const int first = positions_.Find(op);
    if (first == position) return std::nullopt;
    return ErrorAt(s_, rank, position, fmt::format("is there twice, first at position {}", first));
  });
}

MaybeError Judge::FindMissingComputeOf(const Unit& unit) const {
  const int rank = s_.rank_of_stage[unit.stage];
  const auto missing = [&](OpKind kind) {
    return fmt::format("rank {} has no {}", rank, FormatOp({kind, unit}));
  };
  if (!Has({OpKind::kForward, unit})) return missing(OpKind::kForward);
  if (s_.pass == Pass::kForward) return std::nullopt;
  const int whole = positions_.Find({OpKind::kBackward, unit});
  const bool has_input = Has({OpKind::kBackwardInput, unit});
  const bool has_weight = Has({OpKind::kBackwardWeight, unit});
  if (whole >= 0 && (has_input || has_weight)) {
    const OpKind part = has_input ? OpKind::kBackwardInput : OpKind::kBackwardWeight;
    return ErrorAt(
        s_, rank, whole,
        fmt::format("is the whole backward, but there is {} too", FormatOp({part, unit})));
  }
  if (whole >= 0) return std::nullopt;
  if (!has_input && !has_weight) return missing(OpKind::kBackward);
  if (!has_input) return missing(OpKind::kBackwardInput);
  if (!has_weight) return missing(OpKind::kBackwardWeight);
  return std::nullopt;
}

MaybeError Judge::FindMissingCompute() const {
  for (Unit unit; unit.stage < s_.num_stages; ++unit.stage) {
    for (unit.micro_batch = 0; unit.micro_batch < s_.num_micro_batches; ++unit.micro_batch) {
      for (unit.slice = 0; unit.slice < s_.num_slices; ++unit.slice) {
        if (MaybeError error = FindMissingComputeOf(unit)) return error;
      }
    }
  }
  return std::nullopt;
}

Op Judge::InputGradientOp(const Unit& unit) const {
  const Op whole = {OpKind::kBackward, unit};
  return Has(whole) ? whole : Op{OpKind::kBackwardInput, unit};
}

std::vector<Op> Judge::Dependencies(const Op& op) const {
  const auto [stage, micro_batch, slice] = op.unit;
  std::vector<Op> dependencies;
  if (op.kind == OpKind::kForward) {
    if (stage > 0) dependencies.push_back({op.kind, {stage - 1, micro_batch, slice}});
    if (slice > 0) dependencies.push_back({op.kind, {stage, micro_batch, slice - 1}});
  } else if (MakesInputGradient(op.kind)) {
    dependencies.push_back({OpKind::kForward, {stage, micro_batch, s_.num_slices - 1}});
    if (stage + 1 < s_.num_stages) {
      dependencies.push_back(InputGradientOp({stage + 1, micro_batch, slice}));
    }
    if (slice + 1 < s_.num_slices) {
      dependencies.push_back(InputGradientOp({stage, micro_batch, slice + 1}));
    }
  } else if (op.kind == OpKind::kBackwardWeight) {
    dependencies.push_back({OpKind::kBackwardInput, op.unit});
  }
  return dependencies;
}

MaybeError Judge::FindWrongOrder() const {
  return FirstErrorOfOps(s_, [&](int rank, int position, const Op& op) -> MaybeError {
    for (const Op& dependency : Dependencies(op)) {
      if (s_.rank_of_stage[dependency.unit.stage] != rank) continue;
      const int needed_at = positions_.Find(dependency);
      if (needed_at < position) continue;
      return ErrorAt(s_, rank, position,
                     fmt::format("needs {}, which comes later, at position {}",
                                 FormatOp(dependency), needed_at));
    }
    return std::nullopt;
  });
}

MaybeError Judge::FindMissingCommunication() const {
  return FirstErrorOfOps(s_, [&](int rank, int position, const Op& op) -> MaybeError {
    if (!IsCompute(op.kind)) return std::nullopt;
    if (const std::optional<Op> input = InputOf(s_, op)) {
      const int recv = positions_.Find(*input);
      if (recv < 0) {
        return ErrorAt(s_, rank, position,
                       fmt::format("its input comes from rank {}, but rank {} has no {}",
                                   PeerRank(s_, *input), rank, FormatOp(*input)));
      }
      if (recv > position) {
        return ErrorAt(
            s_, rank, position,
            fmt::format("needs {}, which comes later, at position {}", FormatOp(*input), recv));
      }
    }
    if (const std::optional<Op> output = OutputOf(s_, op)) {
      const int send = positions_.Find(*output);
      if (send < 0) {
        return ErrorAt(s_, rank, position,
                       fmt::format("rank {} needs its output, but rank {} has no {}",
                                   PeerRank(s_, *output), rank, FormatOp(*output)));
      }
      if (send < position) {
        return ErrorAt(s_, rank, send,
                       fmt::format("sends what is only made later, by {} at position {}",
                                   FormatOp(op), position));
      }
    }
    return std::nullopt;
  });
}

// With all that is needed there, a send or receive can only be wrong by having no other end on
// another rank.
MaybeError Judge::FindWrongCommunication() const {
  return FirstErrorOfOps(s_, [&](int rank, int position, const Op& op) -> MaybeError {
    if (IsCompute(op.kind)) return std::nullopt;
    if (!IsIn(PeerStage(op), s_.num_stages)) {
      return ErrorAt(s_, rank, position,
                     fmt::format("stage {} is at the end of the pipeline", op.unit.stage));
    }
    if (PeerRank(s_, op) == rank) {
      return ErrorAt(s_, rank, position, "both stages are on this rank");
    }
    return std::nullopt;
  });
}

MaybeError Judge::FindUnmatchedChannel() const {
  std::map<std::pair<int, int>, std::vector<Op>> sends;
  FirstErrorOfOps(s_, [&](int rank, int, const Op& op) -> MaybeError {
    if (IsSend(op.kind)) sends[{rank, PeerRank(s_, op)}].push_back(op);
    return std::nullopt;
  });
  std::map<std::pair<int, int>, int> num_recvs;
  return FirstErrorOfOps(s_, [&](int rank, int position, const Op& op) -> MaybeError {
    if (!IsRecv(op.kind)) return std::nullopt;
    const int from = PeerRank(s_, op);
    const int index = num_recvs[{from, rank}]++;
    const Op send = sends[{from, rank}][index];
    if (Counterpart(send) == op) return std::nullopt;
    return ErrorAt(
        s_, rank, position,
        fmt::format("is receive {} from rank {}, but send {} of rank {} to rank {} is {}, "
                    "at position {}",
                    index, from, index, from, rank, FormatOp(send), positions_.Find(send)));
  });
}

// Follows who waits for whom from the first rank that has stopped until a rank comes up again.
std::string Judge::ShowCircle(const std::vector<int>& stopped_at) const {
  int rank = 0;
  while (stopped_at[rank] == std::ssize(s_.ops_of_rank[rank])) ++rank;
  std::string text, lists;
  for (std::vector<bool> is_shown(s_.num_ranks, false); !is_shown[rank];) {
    is_shown[rank] = true;
    const Op& op = s_.ops_of_rank[rank][stopped_at[rank]];
    const Op transfer = IsCompute(op.kind) ? *InputOf(s_, op) : op;
    const Op awaited = Counterpart(transfer);
    const int peer = PeerRank(s_, transfer);
    text += fmt::format("{}{} waits for {} of rank {}, position {}", text.empty() ? "" : "; ",
                        Place(s_, rank, stopped_at[rank]), FormatOp(awaited), peer,
                        positions_.Find(awaited));
    lists += ShowList(s_, rank, stopped_at[rank]);
    rank = peer;
  }
  return text + lists;
}

MaybeError Judge::FindDeadlock() const {
  const auto unit_cost = [](const Op&) { return 1.0; };
  const Replay replay = ReplaySchedule(s_, model_, {unit_cost, unit_cost});
  bool has_ended = true;
  for (int rank = 0; rank < s_.num_ranks; ++rank) {
    has_ended = has_ended && replay.stopped_at[rank] == std::ssize(s_.ops_of_rank[rank]);
  }
  if (has_ended) return std::nullopt;
  return fmt::format(
      "deadlock with {} sends and {}: {}",
      model_.sends == SendSemantics::kRendezvous ? "rendezvous" : "buffered",
      model_.queues == QueueSemantics::kSingle ? "one queue per rank" : "a queue per channel",
      ShowCircle(replay.stopped_at));
}

}  // namespace

std::optional<std::string> FindError(const Schedule& schedule, const ExecutionModel& model) {
  if (MaybeError error = FindSizeError(schedule)) return error;
  if (MaybeError error = FindUnitError(schedule)) return error;
  return Judge(schedule, model).FindError();
}

}  // namespace sluice
