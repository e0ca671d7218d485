#include "parallel/planner/unit_costs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/base/error.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

UnitCosts Example() {
  return {.conditions = {.device = "cuda",
                         .device_name = "NVIDIA H200",
                         .dtype = "bf16",
                         .attention = "default",
                         .kernels = "standard",
                         .commit = "abc",
                         .tree = "clean",
                         .date = "2026-12-01T17:00:00Z",
                         .clock_mhz = {1980},
                         .power_w = {640.5}},
          .model = FindModel("gpt3-13b"),
          .launch = {{.kind = OpKind::kForward, .samples_s = {4e-6}}},
          .linear = {{.kind = OpKind::kForward, .num_tokens = 64, .samples_s = {1e-4, 1.1e-4}},
                     {.kind = OpKind::kBackwardWeight, .num_tokens = 64, .samples_s = {2e-4}}},
          .attention = {{.kind = OpKind::kForward, .slice_len = 64, .samples_s = {1e-5}}},
          .ends = {{.kind = OpKind::kForward,
                    .end = StageEnd::kLast,
                    .num_tokens = 64,
                    .samples_s = {1e-6}}},
          .held_out = {{.kind = OpKind::kBackward,
                        .num_layers = 4,
                        .slice_len = 192,
                        .prefix_len = 64,
                        .predicted_s = 4e-4,
                        .samples_s = {4.1e-4}}}};
}

std::string MessageOf(const std::string& text) {
  try {
    ParseUnitCosts(text, "costs.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// The example's text with `from` replaced by `to`.
std::string Changed(const std::string& from, const std::string& to) {
  std::string text = FormatUnitCosts(Example());
  const size_t position = text.find(from);
  EXPECT_NE(position, std::string::npos) << from << " in " << text;
  return text.replace(position, from.size(), to);
}

TEST(UnitCosts, ReadsWhatItWrites) {
  const std::string text = FormatUnitCosts(Example());
  const UnitCosts read = ParseUnitCosts(text, "costs.json");
  EXPECT_EQ(FormatUnitCosts(read), text);
  EXPECT_EQ(read.linear.at(1).kind, OpKind::kBackwardWeight);
  EXPECT_EQ(read.linear.at(0).samples_s, (std::vector<double>{1e-4, 1.1e-4}));
  EXPECT_EQ(read.held_out.at(0).prefix_len, 64);
  EXPECT_EQ(read.ends.at(0).end, StageEnd::kLast);
  EXPECT_EQ(read.model.hidden_size, 5120);
}

TEST(UnitCosts, NamesTheFieldThatIsWrong) {
  EXPECT_EQ(MessageOf(Changed("\"num_tokens\":64", "\"num_tokens\":0")),
            "costs.json: linear[0].num_tokens: 0 is not allowed: it must be an integer of at least "
            "1");
  EXPECT_THAT(MessageOf(Changed("0.00011", "-1")), HasSubstr("costs.json: linear[0].samples_s[1]"));
  EXPECT_THAT(MessageOf(Changed("weight_gradient", "weight")),
              HasSubstr("linear[1].kind: unknown value 'weight'"));
  EXPECT_THAT(MessageOf(Changed("\"dtype\":\"bf16\"", "\"dtype\":\"bf61\"")),
              HasSubstr("conditions.dtype: unknown value 'bf61'"));
  EXPECT_THAT(MessageOf(Changed("\"commit\"", "\"comit\"")),
              HasSubstr("conditions: field commit is missing"));
  EXPECT_THAT(MessageOf(Changed("costs 1", "costs 9")), HasSubstr("costs.json: format: "));
  EXPECT_THAT(MessageOf(Changed("\"num_heads\":40", "\"num_heads\":39")),
              HasSubstr("model.num_heads: 39 does not divide hidden_size 5120"));
}

TEST(UnitCosts, RefusesAFileThatWasCutShortAnywhere) {
  const std::string text = FormatUnitCosts(Example());
  for (size_t size = 0; size + 2 < text.size(); size += 7) {
    EXPECT_THAT(MessageOf(text.substr(0, size)), HasSubstr("cut short")) << size;
  }
}

TEST(UnitCosts, RefusesTablesWithoutForward) {
  UnitCosts costs = Example();
  costs.linear.erase(costs.linear.begin());
  EXPECT_EQ(MessageOf(FormatUnitCosts(costs)), "costs.json: linear: has no forward");
}

TEST(UnitCosts, CountsCausalPairs) {
  // A slice of 2 behind 3: queries see 4 and 5 keys.
  EXPECT_EQ(AttentionPairs(7, {.micro_batch_size = 2, .slice_len = 2, .prefix_len = 3}), 126);
}

}  // namespace
}  // namespace sluice
