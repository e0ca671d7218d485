#include "correctness/tolerance/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Comparison Compare(const std::vector<double>& actual, const std::vector<double>& expected,
                   const Bound& bound) {
  return CompareTensors<double, double>("x", actual, expected, bound);
}

TEST(CompareTensors, MeasuresBothErrors) {
  const Comparison result = Compare({3, 4.5, 0}, {3, 4, 0}, {0.2, {1.0}});
  EXPECT_TRUE(result.pass);
  EXPECT_DOUBLE_EQ(result.relative_l2, 0.1);
  EXPECT_EQ(result.worst_index, 1);
  EXPECT_EQ(result.worst_error, 0.5);
}

TEST(CompareTensors, FailsOnEitherBound) {
  EXPECT_FALSE(Compare({3, 4.5}, {3, 4}, {0.05, {1.0}}).pass);
  EXPECT_FALSE(Compare({3, 4.5}, {3, 4}, {0.2, {0.4}}).pass);
  EXPECT_FALSE(Compare({3, 4.5}, {3, 4}, {0.2, {1.0, 0.4}}).pass);
  EXPECT_TRUE(Compare({3, 4.5}, {3, 4}, {0.2, {0.0, 0.5}}).pass);
  EXPECT_TRUE(Compare({3, 4.5}, {3, 4}, {0.2, {}}).pass);
  EXPECT_TRUE(Compare({3, 4}, {3, 4}, {}).pass);
}

TEST(CompareTensors, RanksElementsByTheirBounds) {
  const Comparison result = Compare({1.5, 2.2}, {1, 2}, {1, {1.0, 0.1}});
  EXPECT_EQ(result.worst_index, 1);
  EXPECT_EQ(result.worst_bound, 0.1);
}

TEST(CompareTensors, NeverPassesWhatIsNotFinite) {
  for (const double bad : {kNan, kInfinity, -kInfinity}) {
    EXPECT_FALSE(Compare({1, bad}, {1, 2}, {kInfinity, {}}).pass);
    EXPECT_FALSE(Compare({1, 2}, {1, bad}, {kInfinity, {kInfinity}}).pass);
    EXPECT_FALSE(Compare({1, bad}, {1, bad}, {kInfinity, {}}).pass);
  }
  EXPECT_FALSE(Compare({1, 2}, {1, 2}, {kNan, {}}).pass);
  EXPECT_FALSE(Compare({1, 2}, {1, 2}, {1, {kNan}}).pass);
  EXPECT_EQ(Compare({1, kNan, 9}, {1, 2, 3}, {1, {1.0}}).worst_index, 1);
}

TEST(CompareTensors, OfZerosAndOfNothing) {
  EXPECT_TRUE(Compare({0, 0}, {0, 0}, {}).pass);
  EXPECT_FALSE(Compare({0, 1e-100}, {0, 0}, {1, {1.0}}).pass);
  EXPECT_TRUE(Compare({}, {}, {}).pass);
}

TEST(CompareTensors, TakesFloats) {
  const std::vector<float> actual{1.5f, 2};
  const std::vector<double> expected{1, 2};
  const Comparison result = CompareTensors<float, double>("x", actual, expected, {1, {1.0}});
  EXPECT_EQ(result.worst_error, 0.5);
}

TEST(CompareTensors, IsToldInWords) {
  const std::string text = ToString(Compare({3, 4.5}, {3, 4}, {0.05, {1.0}}));
  EXPECT_EQ(text,
            "x: relative L2 1.00e-01, bound 5.00e-02; worst element 1: 5.00e-01, bound 1.00e+00"
            "  FAIL");
}

TEST(CompareTensorsDeathTest, RefusesOtherSizes) {
  EXPECT_DEATH(Compare({1, 2}, {1}, {}), "2 vs. 1");
  EXPECT_DEATH(Compare({1, 2, 3}, {1, 2, 3}, {1, {1.0, 1.0}}), "2 vs. 3");
}

TEST(UndetectedPerturbations, AreNoneUnderATightBound) {
  EXPECT_THAT(UndetectedPerturbations(std::vector<double>{1, -2, 3, 4, 5}, {1e-5, {}}), IsEmpty());
  EXPECT_THAT(UndetectedPerturbations(std::vector<double>{1, -2, 3, 4, 5}, {1, {1e-4}}), IsEmpty());
}

TEST(UndetectedPerturbations, AreNamedUnderALooseOne) {
  EXPECT_THAT(UndetectedPerturbations(std::vector<double>{1, -2, 3, 4, 5}, {0.01, {}}),
              ElementsAre(Perturbation::kScaled));
  EXPECT_THAT(UndetectedPerturbations(std::vector<double>{1, -2, 3, 4, 5}, {100, {}}),
              ElementsAre(Perturbation::kScaled, Perturbation::kOneElement,
                          Perturbation::kSwappedParts, Perturbation::kZeroed));
  // Swapping equal halves changes nothing, so nothing goes undetected.
  EXPECT_THAT(UndetectedPerturbations(std::vector<double>{2, 2}, {1e-5, {}}), IsEmpty());
}

}  // namespace
}  // namespace sluice
