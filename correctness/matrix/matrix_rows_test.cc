#include "correctness/matrix/matrix_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "parallel/schemes/schemes.h"

namespace sluice {
namespace {

class MatrixRowsTest : public testing::TestWithParam<int> {};

TEST_P(MatrixRowsTest, AreOfThatManyRanksAndCanBePlanned) {
  for (const DeviceKind device : {DeviceKind::kCpu, DeviceKind::kCuda}) {
    std::set<std::string> names;
    for (const MatrixRow& row : MatrixRows(GetParam(), device)) {
      SCOPED_TRACE(row.name);
      EXPECT_TRUE(names.insert(row.name).second);
      EXPECT_EQ(row.config.sizes.world_size(), GetParam());
      EXPECT_GT(row.config.batch_size, 1);
      EXPECT_NO_THROW(PlanJob(row.config));
    }
  }
}

TEST_P(MatrixRowsTest, HaveEverySchemeInEveryPrecisionWithBothLosses) {
  std::set<std::tuple<std::string, Precision, LossKind>> found;
  std::set<std::string> graphs;
  for (const MatrixRow& row : MatrixRows(GetParam(), DeviceKind::kCuda)) {
    if (row.kind == RowKind::kParity) {
      found.insert({row.config.scheme, row.config.precision, row.config.loss});
    }
    if (row.kind == RowKind::kGraph) graphs.insert(row.config.scheme);
  }
  for (const Scheme& scheme : Schemes()) {
    const std::string name(scheme.name);
    EXPECT_TRUE(graphs.contains(name)) << name;
    for (const Precision precision :
         {Precision::kFloat32, Precision::kTf32, Precision::kBFloat16, Precision::kFloat16}) {
      for (const LossKind loss : {LossKind::kMean, LossKind::kProjection}) {
        EXPECT_TRUE(found.contains({name, precision, loss})) << name << Name(precision);
      }
    }
  }
}

TEST_P(MatrixRowsTest, HaveUnequalSlicesAndStages) {
  bool has_slices = false, has_stages = false;
  for (const MatrixRow& row : MatrixRows(GetParam(), DeviceKind::kCuda)) {
    const JobPlan plan = PlanJob(row.config);
    has_slices |= plan.config.slices.front().len != plan.config.slices.back().len;
    has_stages |= plan.layers_of_stage.front().num_layers != plan.layers_of_stage.back().num_layers;
  }
  EXPECT_TRUE(has_slices);
  EXPECT_TRUE(has_stages);
}

// The rows that are not optional, of a kind.
int NumNotOptional(int num_ranks, RowKind kind, Precision precision, LossKind loss) {
  const std::vector<MatrixRow> rows = MatrixRows(num_ranks, DeviceKind::kCuda);
  return static_cast<int>(std::ranges::count_if(rows, [&](const MatrixRow& row) {
    return !row.is_optional && row.kind == kind && row.config.precision == precision &&
           row.config.loss == loss;
  }));
}

TEST(MatrixRows, AreOptionalWhereFewerRanksProveAsMuch) {
  constexpr RowKind kParity = RowKind::kParity;
  constexpr LossKind kProjection = LossKind::kProjection;
  constexpr int kOneAxis = 17;
  for (const Precision precision :
       {Precision::kFloat32, Precision::kTf32, Precision::kBFloat16, Precision::kFloat16}) {
    const bool is_first = precision == Precision::kFloat32 || precision == Precision::kBFloat16;
    EXPECT_EQ(NumNotOptional(2, kParity, precision, kProjection), kOneAxis);
    EXPECT_EQ(NumNotOptional(2, kParity, precision, LossKind::kMean), is_first ? kOneAxis : 0);
    EXPECT_EQ(NumNotOptional(4, kParity, precision, kProjection), is_first ? kOneAxis + 4 : 0);
    EXPECT_EQ(NumNotOptional(8, kParity, precision, kProjection), is_first ? 2 : 0);
  }
  for (const int num_ranks : {2, 3, 4, 8}) {
    EXPECT_EQ(NumNotOptional(num_ranks, RowKind::kDroppedLayer, Precision::kFloat32, kProjection),
              num_ranks > 4 ? 0 : 1);
  }
  EXPECT_EQ(NumNotOptional(2, RowKind::kGraph, Precision::kFloat32, kProjection), kOneAxis);
  EXPECT_EQ(NumNotOptional(4, RowKind::kGraph, Precision::kFloat32, kProjection), 2);
  EXPECT_EQ(NumNotOptional(3, RowKind::kGraph, Precision::kFloat32, kProjection), 1);
  EXPECT_EQ(NumNotOptional(3, kParity, Precision::kFloat32, kProjection), 1);
}

TEST_P(MatrixRowsTest, HaveTheOptionalOnesLast) {
  const std::vector<MatrixRow> rows = MatrixRows(GetParam(), DeviceKind::kCuda);
  EXPECT_TRUE(
      std::ranges::is_partitioned(rows, [](const MatrixRow& row) { return !row.is_optional; }));
  EXPECT_FALSE(rows.front().is_optional);
}

INSTANTIATE_TEST_SUITE_P(Ranks, MatrixRowsTest, testing::Values(2, 3, 4, 5, 6, 8, 16));

}  // namespace
}  // namespace sluice
