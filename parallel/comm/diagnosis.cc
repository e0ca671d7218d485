#include "parallel/comm/diagnosis.h"

#include <fmt/format.h>

namespace sluice {
namespace {

bool IsWaiting(const RankView& view) {
  return view.status != nullptr && view.status->phase() == RankPhase::kRunning &&
         view.status->wait_begin_ns() != 0 && !view.is_silent;
}

std::string Activity(const RankView& view) {
  if (view.status == nullptr) return "is on another host and does not answer";
  return (view.is_silent ? "no longer runs, and " : "") + view.status->DescribeActivity();
}

}  // namespace

int FirstLate(std::span<const RankView> ranks, int rank) {
  const auto first = [&](const auto& is_late) {
    for (int other = 0; other < static_cast<int>(ranks.size()); ++other) {
      if (other != rank && is_late(ranks[other], other)) return other;
    }
    return -1;
  };
  const auto phase = [](const RankView& view) { return view.status->phase(); };
  int late = first([&](const RankView& view, int other) {
    return view.status != nullptr && phase(view) <= RankPhase::kRunning &&
           (!IsWaiting(view) || view.waits_for == other);
  });
  if (late >= 0) return late;
  late = first([&](const RankView& view, int) {
    return view.status != nullptr &&
           (phase(view) > RankPhase::kRunning || view.status->step() < ranks[rank].status->step());
  });
  if (late >= 0) return late;
  return first([](const RankView& view, int) { return view.status == nullptr; });
}

int EndOfChain(std::span<const RankView> ranks, int rank) {
  for (size_t steps = 0; steps <= ranks.size(); ++steps) {
    const int next = ranks[rank].waits_for;
    if (!IsWaiting(ranks[rank]) || next < 0 || next == rank) return rank;
    rank = next;
  }
  return -1;
}

std::string DescribeDeadline(std::span<const RankView> ranks, int reporter, double waited_s) {
  const int culprit = EndOfChain(ranks, reporter);
  const bool is_unknown =
      culprit < 0 || (culprit == reporter && ranks[reporter].waits_for != reporter);
  const std::string wait = fmt::format("rank {} waited {:.3g} s in {} {}", reporter, waited_s,
                                       Describe(ranks[reporter].status->waiting()),
                                       ranks[reporter].status->DescribePosition());
  std::string text =
      is_unknown ? fmt::format("deadline passed: {}; ranks wait for each other", wait)
                 : fmt::format("deadline passed: rank {} does not respond: {}", culprit, wait);
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    text += fmt::format("\n  rank {} {}", rank, Activity(ranks[rank]));
  }
  return text;
}

std::string DescribeLeft(std::span<const RankView> ranks, int reporter, int gone) {
  const RankStatus& status = *ranks[reporter].status;
  return fmt::format("rank {} left before step {}: rank {} waits for it in {} {}", gone,
                     status.step(), reporter, Describe(status.waiting()),
                     status.DescribePosition());
}

}  // namespace sluice
