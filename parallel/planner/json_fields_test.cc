#include "parallel/planner/json_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "core/base/error.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string MessageOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(JsonFields, ReturnsValues) {
  const JsonField root = ParseJson(R"({"a": [{"n": 3, "s": [0.5, 2]}], "t": "x"})", "f.json");
  EXPECT_EQ(root.At("a").List()[0].At("n").Integer(1), 3);
  EXPECT_THAT(root.At("a").List()[0].At("s").PositiveSamples(), ElementsAre(0.5, 2));
  EXPECT_EQ(root.At("t").Text(), "x");
  EXPECT_EQ(root.At("t").Choice({"w", "x"}), 1u);
}

TEST(JsonFields, NamesFileAndFieldInErrors) {
  const JsonField root = ParseJson(R"({"a": [{"n": 0, "s": [0.5, "y"], "e": [], "z": [0]}]})", "f");
  const JsonField first = root.At("a").List()[0];
  EXPECT_EQ(MessageOf([&] { first.At("n").Integer(1); }),
            "f: a[0].n: 0 is not allowed: it must be an integer of at least 1");
  EXPECT_EQ(MessageOf([&] { first.At("s").Numbers(0); }),
            "f: a[0].s[1]: \"y\" is not allowed: it must be a finite number of at least 0");
  EXPECT_EQ(MessageOf([&] { first.At("m"); }), "f: a[0]: field m is missing");
  EXPECT_EQ(MessageOf([&] { first.At("e").PositiveSamples(); }),
            "f: a[0].e: must contain at least one number");
  EXPECT_THAT(MessageOf([&] { first.At("z").PositiveSamples(); }), HasSubstr("greater than 0"));
  EXPECT_EQ(MessageOf([&] { root.At("a").Text(); }).substr(0, 5), "f: a:");
}

TEST(JsonFields, RefusesKeysThatDiffer) {
  const JsonField root = ParseJson(R"({"model": 1, "dtyp": 2})", "f");
  EXPECT_EQ(MessageOf([&] { root.CheckKeys({"model", "dtype"}); }), "f: field dtype is missing");
  EXPECT_THAT(MessageOf([&] { root.CheckKeys({"model"}); }), HasSubstr("unknown field 'dtyp'"));
}

TEST(JsonFields, RefusesTextThatWasCutShort) {
  EXPECT_EQ(MessageOf([] { ParseJson(R"({"a": [1, 2)", "f"); }),
            "f: is not JSON, or was cut short, at byte 12 of 11");
}

}  // namespace
}  // namespace sluice
