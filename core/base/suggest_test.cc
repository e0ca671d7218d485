#include "core/base/suggest.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

const std::vector<std::string> kModels = {"test", "gpt2-1b", "gpt3-1b", "gpt3-13b"};

TEST(Nearest, FindsAMisspelling) { EXPECT_EQ(Nearest("gpt3-13", kModels), "gpt3-1b"); }

TEST(Nearest, FindsNothingFarAway) { EXPECT_EQ(Nearest("bert-large", kModels), ""); }

TEST(UnknownName, NamesTheNearestAndAllKnown) {
  EXPECT_EQ(UnknownName("model", "tset", kModels),
            "unknown model 'tset'; did you mean 'test'? known: test, gpt2-1b, gpt3-1b, gpt3-13b");
}

TEST(UnknownName, SurvivesALongWord) {
  EXPECT_LT(UnknownName("model", std::string(1 << 20, 'x'), kModels).size(), 1000u);
}

}  // namespace
}  // namespace sluice
