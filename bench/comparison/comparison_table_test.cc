#include "bench/comparison/comparison_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace sluice {
namespace {

using testing::HasSubstr;

// A row whose passes took from 0.95 to 1.05 times `median_s`.
MeasuredRow RowOf(const std::string& scheme, int num_ranks, double median_s, int64_t kept_mib) {
  MeasuredRow row;
  row.row.benchmark.job.scheme = scheme;
  JobConfig& config = row.row.benchmark.plan.config;
  config.scheme = scheme;
  config.sizes = {.pipeline = num_ranks};
  config.slices = {{0, 128}};
  config.num_micro_batches = 4;
  Measurement& m = row.measurement;
  m.world_size = num_ranks;
  m.median_s = median_s;
  m.min_s = 0.95 * median_s;
  m.max_s = 1.05 * median_s;
  m.tokens = 512;
  m.flops = 1e9;
  m.of_rank.resize(static_cast<size_t>(num_ranks));
  m.of_rank.back() = {.bytes = {.weights = 3 << 20, .activations = kept_mib << 20, .kernels = 0},
                      .allocated_bytes = (kept_mib + 8) << 20,
                      .traffic = {.sends = {.count = 7, .bytes = 6 << 20},
                                  .tensor_collectives = {.count = 5, .bytes = 4 << 20},
                                  .data_collectives = {.count = 3, .bytes = 2 << 20}}};
  m.op_times = OpTimesSummary{.simulated_bubble_fraction = 0.2,
                              .micro_batch_s = {.forward = 0.1, .input_gradient = 0.2},
                              .measured_bubble_fraction = 0.25,
                              .exposed_communication = {.max_s = 0.125},
                              .exposed_fraction = 0.3};
  return row;
}

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST(ComparisonText, RowsAreSortedByTimeAndComparedWithOneRank) {
  const std::string text = ComparisonText(
      {RowOf("single", 1, 2, 36), RowOf("gpipe", 2, 1.6, 72), RowOf("one_f_one_b", 2, 1.25, 18)},
      {});
  const std::vector<std::string> lines = LinesOf(text);
  ASSERT_GE(lines.size(), 5u);
  EXPECT_TRUE(lines[2].starts_with("one_f_one_b")) << text;
  EXPECT_TRUE(lines[3].starts_with("gpipe")) << text;
  EXPECT_TRUE(lines[4].starts_with("single")) << text;
  EXPECT_THAT(lines[2], HasSubstr(" 1250.0 "));
  EXPECT_THAT(lines[2], HasSubstr(" 1.60 "));  // times as fast as one rank
  EXPECT_THAT(lines[2], HasSubstr(" 20.0 "));  // (p-1) of (m + p - 1) units
  EXPECT_THAT(lines[2], HasSubstr(" 25.0 "));
  EXPECT_THAT(lines[2], HasSubstr(" 30.0 "));
  EXPECT_THAT(text, HasSubstr("least time: one_f_one_b, 1250.0 ms\n"));
  EXPECT_THAT(text, HasSubstr("least memory: one_f_one_b, 18.0 MiB"));
}

TEST(ComparisonText, RowsWhosePassesOverlapAreNotToldApart) {
  const std::string text =
      ComparisonText({RowOf("gpipe", 2, 1.02, 72), RowOf("one_f_one_b", 2, 1, 18)}, {});
  EXPECT_THAT(text, HasSubstr("least time: one_f_one_b, 1000.0 ms; not told apart from it by "
                              "these passes: gpipe\n"));
}

TEST(ComparisonText, HasNoSpeedUpWithoutARowOfOneRankAndNoBubbleWithoutOpTimes) {
  MeasuredRow row = RowOf("gpipe", 2, 1, 1);
  row.measurement.op_times.reset();
  const std::string line = LinesOf(ComparisonText({row}, {}))[2];
  EXPECT_THAT(line, testing::ContainsRegex(" - +512 +- +- +- +- +- +1\\.0 "));
}

TEST(ComparisonText, FitsIntoAHundredColumns) {
  MeasuredRow row = RowOf("seq_interleaved_zero_bubble", 8, 1234.5678, 99999);
  row.measurement.matmul_flops_per_s = 1e9;
  row.measurement.of_rank.back().bytes.activation_gradients = int64_t{99'999} << 20;
  row.measurement.tokens = 9'999'999 * row.measurement.median_s;
  for (const std::string& line : LinesOf(ComparisonText({row}, {}) + VerboseText({row}))) {
    EXPECT_LE(line.size(), 100u) << line;
  }
}

TEST(VerboseText, HasCommunicationAndMemoryOfEachRow) {
  const std::string text = VerboseText({RowOf("gpipe", 2, 1.6, 72)});
  EXPECT_THAT(text,
              testing::ContainsRegex("gpipe +7 +6\\.0 +5 +4\\.0 +3 +2\\.0 +125\\.0 +0\\.0\n"));
  // Rank 1 has 72 + 3 MiB of the layout's; the other 5 of 80 are the kernels'.
  EXPECT_THAT(text, testing::ContainsRegex(
                        "gpipe +1 +3\\.0 +0\\.0 +72\\.0 +0\\.0 +5\\.0 +0\\.0 +80\\.0\n"));
}

TEST(ComparisonText, ListsSchemesWithoutARow) {
  EXPECT_THAT(ComparisonText({RowOf("gpipe", 2, 1, 1)}, {{"zero_bubble_v", "too few"}}),
              HasSubstr("no row: zero_bubble_v: too few\n"));
}

}  // namespace
}  // namespace sluice
