#include "parallel/planner/slice_rules.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/suggest.h"

namespace sluice {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kCapStepS = 10e-6;

std::vector<Slice> SlicesFromEnds(const std::vector<int64_t>& ends) {
  std::vector<Slice> slices;
  int64_t begin = 0;
  for (const int64_t end : ends) {
    slices.push_back({begin, end - begin});
    begin = end;
  }
  return slices;
}

// The ends of the first num_slices - 1 slices if each is as long as `target_s` allows.
std::vector<int64_t> EndsFor(double target_s, int64_t seq_len, int num_slices,
                             const SliceSeconds& seconds) {
  std::vector<int64_t> ends;
  int64_t begin = 0;
  for (int i = 0; i + 1 < num_slices; ++i) {
    int64_t low = 0;
    int64_t high = seq_len - begin;
    while (low < high) {
      const int64_t middle = (low + high + 1) / 2;
      if (seconds({begin, middle}) <= target_s) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    begin += low;
    ends.push_back(begin);
  }
  return ends;
}

}  // namespace

std::vector<std::string> SliceRuleNames() { return {"equal", "balanced", "terapipe"}; }

SliceRule ParseSliceRule(std::string_view name) {
  const std::vector<std::string> names = SliceRuleNames();
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<SliceRule>(i);
  }
  throw Error(UnknownName("slice rule", name, names));
}

std::vector<Slice> BalancedSlices(int64_t seq_len, int num_slices, int64_t tile,
                                  const SliceSeconds& seconds) {
  SLUICE_CHECK(num_slices >= 1 && num_slices * tile <= seq_len);
  // The time for which the last slice takes as long as the others.
  double low_s = 0;
  double high_s = seconds({0, seq_len}) + seconds({seq_len - 1, 1});
  for (int i = 0; i < 30 && high_s - low_s > 1e-5 * high_s; ++i) {
    const double middle_s = (low_s + high_s) / 2;
    const std::vector<int64_t> ends = EndsFor(middle_s, seq_len, num_slices, seconds);
    const int64_t begin = ends.empty() ? 0 : ends.back();
    const bool is_enough = begin == seq_len || seconds({begin, seq_len - begin}) <= middle_s;
    (is_enough ? high_s : low_s) = middle_s;
  }
  std::vector<int64_t> ends = EndsFor(high_s, seq_len, num_slices, seconds);
  ends.push_back(seq_len);
  for (int i = 0; i + 1 < num_slices; ++i) {
    const int64_t begin = i == 0 ? 0 : ends[i - 1];
    const int64_t num_after = num_slices - 1 - i;
    const int64_t rounded = (ends[i] + tile / 2) / tile * tile;
    ends[i] = std::clamp(rounded, begin + tile, (seq_len - num_after * tile) / tile * tile);
  }
  return SlicesFromEnds(ends);
}

std::vector<Slice> ExchangeTiles(
    std::vector<Slice> slices, int64_t tile, int max_calls,
    const std::function<double(const std::vector<Slice>&)>& step_seconds) {
  double best_s = step_seconds(slices);
  int num_calls = 1;
  const auto moved = [&](size_t from, size_t to) {
    std::vector<int64_t> ends;
    int64_t end = 0;
    for (size_t i = 0; i < slices.size(); ++i) {
      end += slices[i].len + (i == to ? tile : 0) - (i == from ? tile : 0);
      ends.push_back(end);
    }
    return SlicesFromEnds(ends);
  };
  for (bool improved = true; improved;) {
    improved = false;
    for (size_t from = 0; from < slices.size(); ++from) {
      for (size_t to = 0; to < slices.size(); ++to) {
        if (from == to || slices[from].len < 2 * tile) continue;
        if (num_calls == max_calls) return slices;
        const std::vector<Slice> candidate = moved(from, to);
        ++num_calls;
        const double candidate_s = step_seconds(candidate);
        if (candidate_s >= best_s * (1 - 1e-9)) continue;
        best_s = candidate_s;
        slices = candidate;
        improved = true;
      }
    }
  }
  return slices;
}

namespace {

class TerapipeSolver {
 public:
  explicit TerapipeSolver(const TerapipeInput& input);

  TerapipePlan Solve();

 private:
  // The cheapest slices of a micro-batch, and the cheapest micro-batches, under a cap.
  struct Chain {
    double total_s = kInfinity;
    double longest_s = 0;
    std::vector<int64_t> parts;  // cells of slices, or indices of micro-batch sizes
  };

  double Seconds(size_t size, int64_t num_cells, int64_t num_before) const {
    return seconds_[size][static_cast<size_t>(num_cells * (num_cells_ + 1) + num_before)];
  }
  std::vector<double> Caps() const;
  Chain SolveSequence(size_t size, double cap_s) const;
  Chain SolveBatch(const std::vector<Chain>& sequences) const;
  TerapipePlan PlanOf(double total_s, const Chain& batch,
                      const std::vector<Chain>& sequences) const;

  const TerapipeInput& input_;
  int64_t num_cells_;
  std::vector<std::vector<double>> seconds_;  // [size][cells of the slice, cells before it]
};

TerapipeSolver::TerapipeSolver(const TerapipeInput& input)
    : input_(input), num_cells_(input.seq_len / input.cell) {
  SLUICE_CHECK_EQ(num_cells_ * input.cell, input.seq_len);
  for (const int64_t size : input.micro_batch_sizes) {
    std::vector<double>& table =
        seconds_.emplace_back(static_cast<size_t>((num_cells_ + 1) * (num_cells_ + 1)), kInfinity);
    for (int64_t len = 1; len <= num_cells_; ++len) {
      for (int64_t before = 0; before + len <= num_cells_; ++before) {
        table[static_cast<size_t>(len * (num_cells_ + 1) + before)] =
            input.seconds(size, {before * input.cell, len * input.cell});
      }
    }
  }
}

std::vector<double> TerapipeSolver::Caps() const {
  std::vector<double> all;
  for (const std::vector<double>& table : seconds_) {
    std::ranges::copy_if(table, std::back_inserter(all), [](double s) { return s < kInfinity; });
  }
  std::ranges::sort(all);
  std::vector<double> caps;
  for (const double cap_s : all) {
    if (caps.empty() || cap_s >= caps.back() + kCapStepS) caps.push_back(cap_s);
  }
  // The largest cap allows everything.
  if (caps.back() < all.back()) caps.push_back(all.back());
  return caps;
}

TerapipeSolver::Chain TerapipeSolver::SolveSequence(size_t size, double cap_s) const {
  std::vector<double> total_s(static_cast<size_t>(num_cells_) + 1, kInfinity);
  std::vector<int64_t> last(total_s.size(), 0);
  total_s[0] = 0;
  for (int64_t end = 1; end <= num_cells_; ++end) {
    for (int64_t len = 1; len <= end; ++len) {
      const double slice_s = Seconds(size, len, end - len);
      if (slice_s > cap_s) continue;
      const double candidate_s = total_s[end - len] + slice_s;
      if (candidate_s >= total_s[end]) continue;
      total_s[end] = candidate_s;
      last[end] = len;
    }
  }
  Chain chain = {.total_s = total_s.back()};
  if (chain.total_s == kInfinity) return chain;
  for (int64_t end = num_cells_; end > 0; end -= last[end]) {
    chain.parts.push_back(last[end]);
    chain.longest_s = std::max(chain.longest_s, Seconds(size, last[end], end - last[end]));
  }
  std::ranges::reverse(chain.parts);
  return chain;
}

TerapipeSolver::Chain TerapipeSolver::SolveBatch(const std::vector<Chain>& sequences) const {
  std::vector<Chain> best(static_cast<size_t>(input_.batch_size) + 1);
  best[0].total_s = 0;
  for (int64_t n = 1; n <= input_.batch_size; ++n) {
    for (size_t size = 0; size < sequences.size(); ++size) {
      const int64_t rest = n - input_.micro_batch_sizes[size];
      if (rest < 0) continue;
      const double total_s = best[rest].total_s + sequences[size].total_s;
      if (total_s >= best[n].total_s) continue;
      best[n] = best[rest];
      best[n].total_s = total_s;
      best[n].longest_s = std::max(best[n].longest_s, sequences[size].longest_s);
      best[n].parts.push_back(static_cast<int64_t>(size));
    }
  }
  return best.back();
}

TerapipePlan TerapipeSolver::PlanOf(double total_s, const Chain& batch,
                                    const std::vector<Chain>& sequences) const {
  TerapipePlan plan = {.total_s = total_s};
  for (const int64_t size : batch.parts) {
    std::vector<int64_t> ends;
    int64_t end = 0;
    for (const int64_t cells : sequences[size].parts) ends.push_back(end += cells * input_.cell);
    plan.micro_batches.push_back({input_.micro_batch_sizes[size], SlicesFromEnds(ends)});
  }
  return plan;
}

TerapipePlan TerapipeSolver::Solve() {
  TerapipePlan plan = {.total_s = kInfinity};
  for (const double cap_s : Caps()) {
    if (cap_s * input_.num_stages > plan.total_s) break;
    std::vector<Chain> sequences;
    for (size_t size = 0; size < seconds_.size(); ++size) {
      sequences.push_back(SolveSequence(size, cap_s));
    }
    const Chain batch = SolveBatch(sequences);
    const double total_s = batch.total_s + (input_.num_stages - 1) * batch.longest_s;
    if (total_s < plan.total_s) plan = PlanOf(total_s, batch, sequences);
  }
  return plan;
}

}  // namespace

TerapipePlan PlanTerapipe(const TerapipeInput& input) { return TerapipeSolver(input).Solve(); }

}  // namespace sluice
