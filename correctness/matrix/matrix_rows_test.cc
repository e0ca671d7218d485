#include "correctness/matrix/matrix_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

INSTANTIATE_TEST_SUITE_P(Ranks, MatrixRowsTest, testing::Values(2, 3, 4, 5, 6, 8, 16));

}  // namespace
}  // namespace sluice
