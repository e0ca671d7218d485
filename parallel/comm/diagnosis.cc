#include "parallel/comm/diagnosis.h"

#include <fmt/format.h>

namespace sluice {
namespace {

bool IsWaiting(const RankView& view) {
  return view.status != nullptr && view.status->phase() == RankPhase::kRunning &&
         view.status->wait_begin_ns() != 0;
}

std::string Activity(const RankView& view) {
  return view.status == nullptr ? "is on another host and does not answer"
                                : view.status->DescribeActivity();
}

}  // namespace

int EndOfChain(std::span<const RankView> ranks, int rank) {
  for (size_t steps = 0; steps <= ranks.size(); ++steps) {
    if (!IsWaiting(ranks[rank]) || ranks[rank].waits_for < 0) return rank;
    rank = ranks[rank].waits_for;
  }
  return -1;
}

std::string DescribeDeadline(std::span<const RankView> ranks, int reporter, double waited_s) {
  const int culprit = EndOfChain(ranks, reporter);
  const std::string wait = fmt::format("rank {} waited {:.3g} s in {} {}", reporter, waited_s,
                                       Describe(ranks[reporter].status->waiting()),
                                       ranks[reporter].status->DescribePosition());
  std::string text =
      culprit < 0 || culprit == reporter
          ? fmt::format("deadline passed: {}; ranks wait for each other", wait)
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
