#include "bench/grid/grid_report.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

const GridConditions kConditions = {
    {"device", "cpu"},   {"device_name", "a CPU"}, {"dtype", "f32"}, {"threads", "2"},
    {"batch_size", "1"}, {"head_dim", "64"},       {"n_steps", "5"}, {"commit", "0123456789abcdef"},
    {"dirty", "false"},  {"build_mode", "opt"}};

GridRecord Measured(const GridPoint& point, int64_t median_ns) {
  return {.point = point,
          .needed_bytes = 1024,
          .median_ns = median_ns,
          .min_ns = median_ns / 2,
          .max_ns = 2 * median_ns,
          .flops = 1'000'000'000,
          .ceiling_flops_per_s = 1e12};
}

// 2 stacks x 2 hidden sizes x 2 lengths x 2 prefixes, one of which needs too much.
std::vector<GridRecord> Records() {
  std::vector<GridRecord> records;
  for (const int64_t hidden_size : {768, 1024}) {
    for (const int64_t num_layers : {3, 6}) {
      for (const int64_t seq_len : {128, 256}) {
        for (const int64_t factor : {0, 2}) {
          records.push_back(Measured({num_layers, hidden_size, seq_len, factor * seq_len},
                                     2'000'000 * num_layers));
        }
      }
    }
  }
  records.back().status = PointStatus::kOutOfMemory;
  records.back().needed_bytes = int64_t{3} << 30;
  records.back().available_bytes = int64_t{1} << 30;
  return records;
}

TEST(GridTable, HasARowForEachPoint) {
  const std::string table = GridTable(Records());
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 17);
  EXPECT_NE(
      table.find(
          "     3    768     256     512       6.000       3.000   150.0 %        166.7   16.7 %"),
      std::string::npos)
      << table;
  EXPECT_NE(table.find("     6   1024     256     512 needs 3.0 GiB, 1.0 GiB were available\n"),
            std::string::npos)
      << table;
}

TEST(GridTable, MarksDisturbedPoints) {
  std::vector<GridRecord> records = Records();
  EXPECT_EQ(GridTable(records).find("disturbed"), std::string::npos);
  records[3].counters["is_disturbed"] = 1;
  EXPECT_NE(GridTable(records).find("1.0 KiB  disturbed\n"), std::string::npos)
      << GridTable(records);
}

TEST(GridFigure, HasAPanelForEachStackAndTheRatesOfTheDeepest) {
  const Figure figure = GridFigure("title", kConditions, Records());
  ASSERT_EQ(figure.rows.size(), 3u);
  EXPECT_EQ(figure.column_titles,
            std::vector<std::string>({"hidden_size 768", "hidden_size 1024"}));
  EXPECT_EQ(figure.rows[0].label, "3 layers");
  EXPECT_EQ(figure.rows[2].y_title, "achieved rate (GFLOP/s)");
  const FigureSeries& line = figure.rows[1].panels[0].series[1];
  EXPECT_EQ(line.label, "prefix 2 x seq_len");
  ASSERT_EQ(line.points.size(), 2u);
  EXPECT_EQ(line.points[1].x, 256);
  EXPECT_EQ(line.points[1].y, 12);  // ms
  const FigurePanel& rates = figure.rows[2].panels[1];
  EXPECT_EQ(rates.note, "1 of 4 need more memory");
  EXPECT_EQ(rates.series[1].points.size(), 1u);
  EXPECT_NEAR(rates.series[0].points[0].y, 1e9 / 0.012 / 1e9, 1e-9);
  EXPECT_EQ(rates.series.back().style, LineStyle::kReference);
  EXPECT_EQ(rates.series.back().points[0].y, 1000);
}

TEST(GridFigure, StandsWhereNothingFits) {
  std::vector<GridRecord> records = {Records().back()};
  EXPECT_NE(FigureSvg(GridFigure("t", kConditions, records)).find("1 of 1 need more memory"),
            std::string::npos);
}

TEST(ConditionsText, SaysWhereAndHow) {
  EXPECT_EQ(ConditionsText(kConditions),
            "cpu (a CPU), 2 thread(s), f32, batch 1, heads of 64, median of 5, commit "
            "0123456789ab, opt");
}

}  // namespace
}  // namespace sluice
