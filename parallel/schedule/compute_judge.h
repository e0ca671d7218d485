// What FindError and FindComputeError share: the judgement of compute ops, in a list with or
// without communication, and the text of an error.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "parallel/schedule/op_positions.h"
#include "parallel/schedule/schedule.h"

namespace sluice::internal {

using MaybeError = std::optional<std::string>;

inline bool IsIn(int value, int count) { return value >= 0 && value < count; }

// "rank 1, position 0, F1.0.0"
std::string Place(const Schedule& schedule, int rank, int position);

// "\n  rank 1: RA1.0.0 [F1.0.0] ...": the ops around a position, with that one in brackets.
std::string ShowList(const Schedule& schedule, int rank, int position);

// Place, what is wrong there, and ShowList.
std::string ErrorAt(const Schedule& schedule, int rank, int position, std::string_view what);

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

// Counts and placements, and then units, that are out of range; ops on a rank that does not hold
// their stage; backward ops in a forward pass.
MaybeError FindRangeError(const Schedule& schedule);

// The checks of compute, for a schedule in which FindRangeError finds nothing.
class ComputeJudge {
 public:
  explicit ComputeJudge(const Schedule& schedule) : s_(schedule), positions_(schedule) {}

  // Ops that are there twice, compute that is missing, and dependencies on the same rank that come
  // later in its list.
  MaybeError FindError() const;

  // The compute ops that must have ended before `op` can start; in a list where none is missing.
  std::vector<Op> Dependencies(const Op& op) const;

  const OpPositions& positions() const { return positions_; }

 private:
  MaybeError FindRepeatedOp() const;
  MaybeError FindMissingCompute() const;
  MaybeError FindWrongOrder() const;
  MaybeError FindMissingComputeOf(const Unit& unit) const;
  Op InputGradientOp(const Unit& unit) const;
  bool Has(const Op& op) const { return positions_.Find(op) >= 0; }

  const Schedule& s_;
  const OpPositions positions_;
};

}  // namespace sluice::internal
