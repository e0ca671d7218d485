#include "parallel/planner/slice_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace sluice {
namespace {

// Causal: `attention` of the work grows with the position.
SliceSeconds CausalSeconds(int64_t seq_len, double attention) {
  return [=](const Slice& slice) {
    const auto share = [=](double x) {
      return (1 - attention) * x / seq_len + attention * x * x / seq_len / seq_len;
    };
    return share(static_cast<double>(slice.begin + slice.len)) -
           share(static_cast<double>(slice.begin));
  };
}

double Spread(const std::vector<Slice>& slices, const SliceSeconds& seconds) {
  double least = std::numeric_limits<double>::infinity();
  double most = 0;
  for (const Slice& slice : slices) {
    least = std::min(least, seconds(slice));
    most = std::max(most, seconds(slice));
  }
  return most / least - 1;
}

void ExpectCovers(const std::vector<Slice>& slices, int64_t seq_len) {
  int64_t end = 0;
  for (const Slice& slice : slices) {
    EXPECT_EQ(slice.begin, end);
    EXPECT_GE(slice.len, 1);
    end += slice.len;
  }
  EXPECT_EQ(end, seq_len);
}

TEST(BalancedSlices, TakeEqualTime) {
  for (const double attention : {0.0, 0.3, 0.9}) {
    for (const int num_slices : {1, 2, 5, 8}) {
      const SliceSeconds seconds = CausalSeconds(1 << 16, attention);
      const std::vector<Slice> slices = BalancedSlices(1 << 16, num_slices, 1, seconds);
      ASSERT_EQ(std::ssize(slices), num_slices);
      ExpectCovers(slices, 1 << 16);
      EXPECT_LT(Spread(slices, seconds), 2e-3) << attention << " " << num_slices;
    }
  }
}

TEST(BalancedSlices, EndAtTiles) {
  const std::vector<Slice> slices = BalancedSlices(2048, 8, 64, CausalSeconds(2048, 0.6));
  ExpectCovers(slices, 2048);
  for (const Slice& slice : slices) EXPECT_EQ(slice.len % 64, 0);
  EXPECT_GT(slices.front().len, 2 * slices.back().len);
  // As many as there are tiles, and a sequence that is no multiple of the tile.
  ExpectCovers(BalancedSlices(512, 8, 64, CausalSeconds(512, 0.9)), 512);
  ExpectCovers(BalancedSlices(530, 8, 64, CausalSeconds(530, 0.9)), 530);
}

TEST(ExchangeTiles, NeverGetsWorseAndFindsABetterSplit) {
  const SliceSeconds seconds = CausalSeconds(1024, 0.8);
  const auto longest = [&](const std::vector<Slice>& slices) {
    double most = 0;
    for (const Slice& slice : slices) most = std::max(most, seconds(slice));
    return most;
  };
  const std::vector<Slice> equal = UniformSlices(1024, 4);
  const std::vector<Slice> better = ExchangeTiles(equal, 64, 1000, longest);
  ExpectCovers(better, 1024);
  EXPECT_LT(longest(better), 0.75 * longest(equal));
  EXPECT_EQ(ExchangeTiles(equal, 64, 1, longest), equal);
}

// The best of all ways to cut `num_cells` cells, for one micro-batch size.
double BestByEnumeration(const TerapipeInput& input) {
  const int64_t num_cells = input.seq_len / input.cell;
  const int64_t num_micro_batches = input.batch_size / input.micro_batch_sizes[0];
  double best_s = std::numeric_limits<double>::infinity();
  for (int64_t cuts = 0; cuts < 1 << (num_cells - 1); ++cuts) {
    double total_s = 0;
    double longest_s = 0;
    int64_t begin = 0;
    for (int64_t cell = 1; cell <= num_cells; ++cell) {
      if (cell < num_cells && !(cuts >> (cell - 1) & 1)) continue;
      const double slice_s = input.seconds(input.micro_batch_sizes[0],
                                           {begin * input.cell, (cell - begin) * input.cell});
      total_s += slice_s;
      longest_s = std::max(longest_s, slice_s);
      begin = cell;
    }
    best_s = std::min(best_s, static_cast<double>(num_micro_batches) * total_s +
                                  (input.num_stages - 1) * longest_s);
  }
  return best_s;
}

TEST(Terapipe, FindsTheBestOfAllCuts) {
  for (const int num_stages : {1, 2, 4, 16}) {
    for (const double launch_s : {1e-3, 3e-2}) {
      const SliceSeconds causal = CausalSeconds(96, 0.6);
      const TerapipeInput input = {
          .seq_len = 96,
          .num_stages = num_stages,
          .batch_size = 4,
          .micro_batch_sizes = {2},
          .seconds = [&](int64_t, const Slice& slice) { return launch_s + causal(slice); }};
      const TerapipePlan plan = PlanTerapipe(input);
      // Caps closer than 10 us to the previous one are skipped.
      EXPECT_NEAR(plan.total_s, BestByEnumeration(input), num_stages * 10e-6);
      ASSERT_EQ(plan.micro_batches.size(), 2u);
      ExpectCovers(plan.micro_batches[0].slices, 96);
    }
  }
}

TEST(Terapipe, SplitsTheBatch) {
  // Two sequences at a time take as long as one.
  const TerapipeInput input = {
      .seq_len = 16,
      .num_stages = 1,
      .batch_size = 5,
      .micro_batch_sizes = {1, 2},
      .seconds = [](int64_t, const Slice& slice) { return 0.5 + static_cast<double>(slice.len); }};
  const TerapipePlan plan = PlanTerapipe(input);
  EXPECT_NEAR(plan.total_s, 3 * 16.5, 1e-9);
  EXPECT_EQ(plan.micro_batches.size(), 3u);
}

}  // namespace
}  // namespace sluice
