#include "parallel/schedule/find_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <vector>

#include "parallel/schedule/compute_checker.h"
#include "parallel/schedule/replay.h"
#include "parallel/schedule/schedule_text.h"

namespace sluice {
namespace {

using internal::ComputeChecker;
using internal::ErrorAt;
using internal::FirstErrorOfOps;
using internal::IsIn;
using internal::MaybeError;
using internal::Place;
using internal::ShowList;

// Describes the chain of stopped ranks, each waiting for the next, until it reaches a rank again.
// `awaited_by` returns the op that a stopped op waits for.
template <typename AwaitedBy>
std::string ShowCycle(const Schedule& schedule, const OpPositions& positions,
                      const std::vector<int>& stopped_at, const AwaitedBy& awaited_by) {
  int rank = 0;
  while (stopped_at[rank] == std::ssize(schedule.ops_of_rank[rank])) ++rank;
  std::string text, lists;
  for (std::vector<bool> is_shown(schedule.num_ranks, false); !is_shown[rank];) {
    is_shown[rank] = true;
    const int position = stopped_at[rank];
    const Op awaited = awaited_by(schedule.ops_of_rank[rank][position]);
    const int peer = schedule.rank_of_stage[awaited.unit.stage];
    text += fmt::format("{}{} waits for {} of rank {}, position {}", text.empty() ? "" : "; ",
                        Place(schedule, rank, position), FormatOp(awaited), peer,
                        positions.Find(awaited));
    lists += ShowList(schedule, rank, position);
    rank = peer;
  }
  return text + lists;
}

// Whether every rank has reached the end of its list.
bool HasEnded(const Schedule& schedule, const std::vector<int>& stopped_at) {
  for (int rank = 0; rank < schedule.num_ranks; ++rank) {
    if (stopped_at[rank] < std::ssize(schedule.ops_of_rank[rank])) return false;
  }
  return true;
}

// The checks of communication, for a schedule whose compute is sound.
class CommunicationChecker {
 public:
  CommunicationChecker(const Schedule& schedule, const ExecutionModel& model,
                       const OpPositions& positions)
      : s_(schedule), model_(model), positions_(positions) {}

  MaybeError FindError() const {
    for (auto find :
         {&CommunicationChecker::FindMissingCommunication,
          &CommunicationChecker::FindWrongCommunication,
          &CommunicationChecker::FindUnmatchedChannel, &CommunicationChecker::FindDeadlock}) {
      if (MaybeError error = (this->*find)()) return error;
    }
    return std::nullopt;
  }

 private:
  MaybeError FindMissingCommunication() const;
  MaybeError FindWrongCommunication() const;
  MaybeError FindUnmatchedChannel() const;
  MaybeError FindDeadlock() const;

  const Schedule& s_;
  const ExecutionModel& model_;
  const OpPositions& positions_;
};

MaybeError CommunicationChecker::FindMissingCommunication() const {
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

// Runs after FindMissingCommunication: every required send and receive is there, so another one can
// only be wrong because its other end is not on another rank.
MaybeError CommunicationChecker::FindWrongCommunication() const {
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

MaybeError CommunicationChecker::FindUnmatchedChannel() const {
  std::map<std::pair<int, int>, std::vector<Op>> sends;
  for (int rank = 0; rank < s_.num_ranks; ++rank) {
    for (const Op& op : s_.ops_of_rank[rank]) {
      if (IsSend(op.kind)) sends[{rank, PeerRank(s_, op)}].push_back(op);
    }
  }
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

MaybeError CommunicationChecker::FindDeadlock() const {
  const auto unit_cost = [](const Op&) { return 1.0; };
  const Replay replay = ReplaySchedule(s_, model_, {unit_cost, unit_cost});
  if (HasEnded(s_, replay.stopped_at)) return std::nullopt;
  const auto awaited_by = [&](const Op& op) {
    return Counterpart(IsCompute(op.kind) ? *InputOf(s_, op) : op);
  };
  return fmt::format(
      "deadlock with {} sends and {}: {}",
      model_.sends == SendSemantics::kRendezvous ? "rendezvous" : "buffered",
      model_.queues == QueueSemantics::kSingle ? "one queue per rank" : "a queue per channel",
      ShowCycle(s_, positions_, replay.stopped_at, awaited_by));
}

MaybeError FindCommunication(const Schedule& schedule) {
  return FirstErrorOfOps(schedule, [&](int rank, int position, const Op& op) -> MaybeError {
    if (IsCompute(op.kind)) return std::nullopt;
    return ErrorAt(schedule, rank, position,
                   "is communication, which is added to a list of compute ops");
  });
}

// Executes lists of compute ops symbolically: each op once the ops that it depends on have ended.
class ComputeRunner {
 public:
  ComputeRunner(const Schedule& schedule, const ComputeChecker& checker)
      : s_(schedule),
        checker_(checker),
        num_done_(schedule.num_ranks),
        ranks_waiting_for_(schedule.num_ranks) {}

  // Returns the cycle of ranks that wait for each other, if there is one.
  MaybeError FindCycle() {
    for (int rank = 0; rank < s_.num_ranks; ++rank) woken_.push_back(rank);
    while (!woken_.empty()) {
      const int rank = woken_.front();
      woken_.pop_front();
      Advance(rank);
    }
    if (HasEnded(s_, num_done_)) return std::nullopt;
    const auto awaited_by = [this](const Op& op) { return *Awaited(op); };
    return "deadlock: " + ShowCycle(s_, checker_.positions(), num_done_, awaited_by);
  }

 private:
  // Returns an op that `op` depends on and that has not ended.
  std::optional<Op> Awaited(const Op& op) const {
    for (const Op& needed : checker_.Dependencies(op)) {
      const int rank = s_.rank_of_stage[needed.unit.stage];
      if (checker_.positions().Find(needed) >= num_done_[rank]) return needed;
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

  const Schedule& s_;
  const ComputeChecker& checker_;
  std::vector<int> num_done_;                        // per rank: ops of its list that have ended
  std::vector<std::vector<int>> ranks_waiting_for_;  // per rank
  std::deque<int> woken_;
};

}  // namespace

std::optional<std::string> FindComputeError(const Schedule& schedule) {
  if (MaybeError error = internal::FindRangeError(schedule)) return error;
  if (MaybeError error = FindCommunication(schedule)) return error;
  const ComputeChecker checker(schedule);
  if (MaybeError error = checker.FindError()) return error;
  return ComputeRunner(schedule, checker).FindCycle();
}

std::optional<std::string> FindError(const Schedule& schedule, const ExecutionModel& model) {
  if (MaybeError error = internal::FindRangeError(schedule)) return error;
  const ComputeChecker checker(schedule);
  if (MaybeError error = checker.FindError()) return error;
  return CommunicationChecker(schedule, model, checker.positions()).FindError();
}

}  // namespace sluice
