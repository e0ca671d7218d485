#include "parallel/schedule/compute_checker.h"

#include <fmt/format.h>

#include <algorithm>

#include "parallel/schedule/schedule_text.h"

namespace sluice::internal {
namespace {

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

MaybeError FindRankWithoutStage(const Schedule& s) {
  std::vector<bool> has_stage(s.num_ranks, false);
  for (const int rank : s.rank_of_stage) has_stage[rank] = true;
  const auto without = std::ranges::find(has_stage, false);
  if (without == has_stage.end()) return std::nullopt;
  return fmt::format("rank {} holds no stage", without - has_stage.begin());
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
    if (s.pass == Pass::kForward && !IsOfForward(op.kind)) {
      return ErrorAt(s, rank, position, "a forward pass has no backward");
    }
    return std::nullopt;
  });
}

}  // namespace

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

std::string Place(const Schedule& schedule, int rank, int position) {
  return fmt::format("rank {}, position {}, {}", rank, position,
                     FormatOp(schedule.ops_of_rank[rank][position]));
}

std::string ErrorAt(const Schedule& schedule, int rank, int position, std::string_view what) {
  return fmt::format("{}: {}{}", Place(schedule, rank, position), what,
                     ShowList(schedule, rank, position));
}

MaybeError FindRangeError(const Schedule& schedule) {
  if (MaybeError error = FindSizeError(schedule)) return error;
  if (MaybeError error = FindUnitError(schedule)) return error;
  return FindRankWithoutStage(schedule);
}

MaybeError ComputeChecker::FindError() const {
  if (MaybeError error = FindRepeatedOp()) return error;
  if (MaybeError error = FindMissingCompute()) return error;
  return FindWrongOrder();
}

MaybeError ComputeChecker::FindRepeatedOp() const {
  return FirstErrorOfOps(s_, [&](int rank, int position, const Op& op) -> MaybeError {
    const int first = positions_.Find(op);
    if (first == position) return std::nullopt;
    return ErrorAt(s_, rank, position, fmt::format("is there twice, first at position {}", first));
  });
}

MaybeError ComputeChecker::FindMissingComputeOf(const Unit& unit) const {
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

MaybeError ComputeChecker::FindMissingCompute() const {
  for (Unit unit; unit.stage < s_.num_stages; ++unit.stage) {
    for (unit.micro_batch = 0; unit.micro_batch < s_.num_micro_batches; ++unit.micro_batch) {
      for (unit.slice = 0; unit.slice < s_.num_slices; ++unit.slice) {
        if (MaybeError error = FindMissingComputeOf(unit)) return error;
      }
    }
  }
  return std::nullopt;
}

Op ComputeChecker::InputGradientOp(const Unit& unit) const {
  const Op whole = {OpKind::kBackward, unit};
  return Has(whole) ? whole : Op{OpKind::kBackwardInput, unit};
}

std::vector<Op> ComputeChecker::Dependencies(const Op& op) const {
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

MaybeError ComputeChecker::FindWrongOrder() const {
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

}  // namespace sluice::internal
