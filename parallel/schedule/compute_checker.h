// The parts that FindError and FindComputeError share: the checks of compute ops, in lists with or
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

// "\n  rank 1: RA1.0.0 [F1.0.0] ...": the ops around a position, with the op there in brackets.
std::string ShowList(const Schedule& schedule, int rank, int position);

// Returns Place, `what` is wrong there, and ShowList.
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

// Looks for counts, placements and units that are out of range, ranks without a stage, ops on a
// rank that does not hold their stage, and backward ops in a forward pass.
MaybeError FindRangeError(const Schedule& schedule);

// The checks of compute, for a schedule in which FindRangeError finds nothing.
class ComputeChecker {
 public:
  explicit ComputeChecker(const Schedule& schedule) : s_(schedule), positions_(schedule) {}

  // Looks for repeated ops, missing compute ops, and ops that come before an op of the same rank
  // that they depend on.
  MaybeError FindError() const;

  // Returns the compute ops that must end before `op` can start. No compute op may be missing.
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
