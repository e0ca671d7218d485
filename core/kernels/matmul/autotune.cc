#include "core/kernels/matmul/autotune.h"

#include <algorithm>
#include <memory>
#include <vector>

namespace sluice {
namespace {

constexpr double kNear = 1.01;
constexpr double kHopeless = 1.3;  // times the fastest, by one round
constexpr size_t kNumRounds = 5;

struct Contender {
  size_t index = 0;
  bool can_run = true;
  std::vector<std::unique_ptr<StreamTimer>> timers;  // of each round
};

int64_t MedianNs(Contender& contender) {
  if (!contender.can_run) return kNeverNs;
  std::vector<int64_t> elapsed_ns;
  for (const auto& timer : contender.timers) {
    elapsed_ns.push_back(std::max<int64_t>(1, timer->ElapsedNs()));
  }
  const auto middle = elapsed_ns.begin() + static_cast<std::ptrdiff_t>(elapsed_ns.size() / 2);
  std::nth_element(elapsed_ns.begin(), middle, elapsed_ns.end());
  return *middle;
}

// Returns the time of each candidate, kNeverNs for those that are not among `indices`.
std::vector<int64_t> TimeRounds(Stream& stream, const Candidates& candidates,
                                const std::vector<size_t>& indices, size_t num_rounds) {
  std::vector<Contender> contenders;
  for (const size_t index : indices) {
    contenders.push_back({.index = index});
    for (size_t round = 0; round < num_rounds; ++round) {
      contenders.back().timers.push_back(stream.MakeTimer());
    }
  }
  for (size_t round = 0; round < num_rounds; ++round) {
    for (size_t i = 0; i < contenders.size(); ++i) {
      Contender& contender = contenders[(i + round) % contenders.size()];
      if (!contender.can_run) continue;
      candidates.prepare();
      contender.timers[round]->Begin();
      contender.can_run = candidates.enqueue(contender.index);
      contender.timers[round]->End();
    }
  }
  std::vector<int64_t> elapsed_ns(candidates.count, kNeverNs);
  for (Contender& contender : contenders) elapsed_ns[contender.index] = MedianNs(contender);
  return elapsed_ns;
}

}  // namespace

Choice FirstNearFastest(std::span<const int64_t> elapsed_ns) {
  if (elapsed_ns.empty()) return {};
  const int64_t fastest_ns = *std::min_element(elapsed_ns.begin(), elapsed_ns.end());
  if (fastest_ns == kNeverNs) return {};
  const auto is_near = [&](int64_t ns) {
    return ns != kNeverNs && static_cast<double>(ns) <= kNear * static_cast<double>(fastest_ns);
  };
  const auto first = std::find_if(elapsed_ns.begin(), elapsed_ns.end(), is_near);
  return {.index = static_cast<size_t>(first - elapsed_ns.begin()), .elapsed_ns = *first};
}

Choice Autotune(Stream& stream, const Candidates& candidates) {
  std::vector<size_t> indices(candidates.count);
  for (size_t i = 0; i < indices.size(); ++i) indices[i] = i;
  TimeRounds(stream, candidates, indices, 1);  // loads the code, and wakes the clocks
  const std::vector<int64_t> first_ns = TimeRounds(stream, candidates, indices, 1);
  const Choice fastest = FirstNearFastest(first_ns);
  if (fastest.elapsed_ns == kNeverNs) return fastest;
  std::erase_if(indices, [&](size_t i) {
    return first_ns[i] == kNeverNs ||
           static_cast<double>(first_ns[i]) > kHopeless * static_cast<double>(fastest.elapsed_ns);
  });
  return FirstNearFastest(TimeRounds(stream, candidates, indices, kNumRounds));
}

}  // namespace sluice
