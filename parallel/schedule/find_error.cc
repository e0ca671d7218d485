#include "parallel/schedule/find_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <vector>

#include "parallel/schedule/compute_judge.h"
#include "parallel/schedule/replay.h"
#include "parallel/schedule/schedule_text.h"

namespace sluice {
namespace {

using internal::ComputeJudge;
using internal::ErrorAt;
using internal::FirstErrorOfOps;
using internal::MaybeError;
using internal::Place;
using internal::ShowList;

bool IsIn(int value, int count) { return value >= 0 && value < count; }

// The checks of communication, for a schedule whose compute is sound.
class Judge {
 public:
  Judge(const Schedule& schedule, const ExecutionModel& model, const OpPositions& positions)
      : s_(schedule), model_(model), positions_(positions) {}

  MaybeError FindError() const {
    for (auto find : {&Judge::FindMissingCommunication, &Judge::FindWrongCommunication,
                      &Judge::FindUnmatchedChannel, &Judge::FindDeadlock}) {
      if (MaybeError error = (this->*find)()) return error;
    }
    return std::nullopt;
  }

 private:
  MaybeError FindMissingCommunication() const;
  MaybeError FindWrongCommunication() const;
  MaybeError FindUnmatchedChannel() const;
  MaybeError FindDeadlock() const;

  std::string ShowCircle(const std::vector<int>& stopped_at) const;

  const Schedule& s_;
  const ExecutionModel& model_;
  const OpPositions& positions_;
};

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

MaybeError FindCommunication(const Schedule& schedule) {
  return FirstErrorOfOps(schedule, [&](int rank, int position, const Op& op) -> MaybeError {
    if (IsCompute(op.kind)) return std::nullopt;
    return ErrorAt(schedule, rank, position,
                   "is communication, which is added to a list of compute ops");
  });
}

// Runs lists of compute ops on paper: each op as soon as those that it needs have ended.
class ComputeRunner {
 public:
  ComputeRunner(const Schedule& schedule, const ComputeJudge& judge)
      : s_(schedule),
        judge_(judge),
        num_done_(schedule.num_ranks),
        ranks_waiting_for_(schedule.num_ranks) {}

  // The circle of ranks that wait for each other, if there is one.
  MaybeError FindCircle() {
    for (int rank = 0; rank < s_.num_ranks; ++rank) woken_.push_back(rank);
    while (!woken_.empty()) {
      const int rank = woken_.front();
      woken_.pop_front();
      Advance(rank);
    }
    for (int rank = 0; rank < s_.num_ranks; ++rank) {
      if (num_done_[rank] < std::ssize(s_.ops_of_rank[rank])) return ShowCircle(rank);
    }
    return std::nullopt;
  }

 private:
  // An op that `op` needs and that has not ended.
  std::optional<Op> Awaited(const Op& op) const {
    for (const Op& needed : judge_.Dependencies(op)) {
      const int rank = s_.rank_of_stage[needed.unit.stage];
      if (judge_.positions().Find(needed) >= num_done_[rank]) return needed;
    }
    return std::nullopt;
  }

  void Advance(int rank) {
    const std::vector<Op>& ops = s_.ops_of_rank[rank];
    const int begin = num_done_[rank];
    std::optional<Op> awaited;
    while (num_done_[rank] < std::ssize(ops) && !(awaited = Awaited(ops[num_done_[rank]]))) {
      ++num_done_[rank];
    }
    if (awaited) ranks_waiting_for_[s_.rank_of_stage[awaited->unit.stage]].push_back(rank);
    if (num_done_[rank] == begin) return;
    woken_.insert(woken_.end(), ranks_waiting_for_[rank].begin(), ranks_waiting_for_[rank].end());
    ranks_waiting_for_[rank].clear();
  }

  // Follows who waits for whom from a rank that has stopped until a rank comes up again.
  std::string ShowCircle(int rank) const {
    std::string text, lists;
    for (std::vector<bool> is_shown(s_.num_ranks, false); !is_shown[rank];) {
      is_shown[rank] = true;
      const int position = num_done_[rank];
      const Op awaited = *Awaited(s_.ops_of_rank[rank][position]);
      const int peer = s_.rank_of_stage[awaited.unit.stage];
      text += fmt::format("{}{} waits for {} of rank {}, position {}", text.empty() ? "" : "; ",
                          Place(s_, rank, position), FormatOp(awaited), peer,
                          judge_.positions().Find(awaited));
      lists += ShowList(s_, rank, position);
      rank = peer;
    }
    return fmt::format("deadlock: {}{}", text, lists);
  }

  const Schedule& s_;
  const ComputeJudge& judge_;
  std::vector<int> num_done_;                        // per rank, the first ops of its list
  std::vector<std::vector<int>> ranks_waiting_for_;  // per rank
  std::deque<int> woken_;
};

}  // namespace

std::optional<std::string> FindComputeError(const Schedule& schedule) {
  if (MaybeError error = internal::FindRangeError(schedule)) return error;
  if (MaybeError error = FindCommunication(schedule)) return error;
  const ComputeJudge judge(schedule);
  if (MaybeError error = judge.FindError()) return error;
  return ComputeRunner(schedule, judge).FindCircle();
}

std::optional<std::string> FindError(const Schedule& schedule, const ExecutionModel& model) {
  if (MaybeError error = internal::FindRangeError(schedule)) return error;
  const ComputeJudge judge(schedule);
  if (MaybeError error = judge.FindError()) return error;
  return Judge(schedule, model, judge.positions()).FindError();
}

}  // namespace sluice
