// Every scheme is a target of bench/BUILD.bazel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "programs/scheme_choices.h"

namespace sluice {
namespace {

TEST(SchemeTargets, AreAllSchemes) {
  std::istringstream names(SLUICE_SCHEME_TARGETS);
  const std::vector<std::string> targets = {std::istream_iterator<std::string>(names), {}};
  EXPECT_THAT(targets, testing::UnorderedElementsAreArray(SchemeNames()));
}

}  // namespace
}  // namespace sluice
