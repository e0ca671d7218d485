#include "bench/grid/grid_record.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace sluice {
namespace {

const GridConditions kConditions = {{"program", "grid"}, {"device_name", "a \"quoted\"\nname"}};

GridRecord Measured() {
  return {.point = {.num_layers = 3, .hidden_size = 768, .seq_len = 128, .prefix_len = 256},
          .needed_bytes = int64_t{1} << 40,
          .median_ns = 2'000'000,
          .min_ns = 1'900'000,
          .max_ns = 2'100'000,
          .flops = 4'000'000'000,
          .ceiling_flops_per_s = 1.6e13,
          .counters = {{"steal_share", 0.25},
                       {"is_disturbed", 1},
                       {"max_power_w", 700},
                       {"clocks_event_share_sw_power_cap", 0.5}}};
}

std::string Refusal(const std::string& line) {
  try {
    ParseRecord(kConditions, line);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(GridRecord, SurvivesTheFile) {
  const GridRecord measured = Measured();
  const GridRecord refused = {.point = measured.point,
                              .status = PointStatus::kOutOfMemory,
                              .needed_bytes = 10,
                              .available_bytes = 9};
  for (const GridRecord& record : {measured, refused}) {
    const std::string line = FormatRecord(kConditions, record);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_EQ(ParseRecord(kConditions, line), record);
  }
}

TEST(GridRecord, HasTheRate) {
  const auto json = nlohmann::json::parse(FormatRecord(kConditions, Measured()));
  EXPECT_EQ(json.at("flops_per_s"), 2e12);
  EXPECT_EQ(json.at("share_of_ceiling"), 0.125);
  EXPECT_EQ(json.at("device_name"), "a \"quoted\"\nname");
}

TEST(GridRecord, HasWhatDisturbedIt) {
  const auto json = nlohmann::json::parse(FormatRecord(kConditions, Measured()));
  EXPECT_EQ(json.at("steal_share"), 0.25);
  EXPECT_EQ(json.at("clocks_event_share_sw_power_cap"), 0.5);
  EXPECT_TRUE(Measured().is_disturbed());
  EXPECT_FALSE(GridRecord().is_disturbed());
}

TEST(GridRecord, RefusesOtherConditions) {
  const std::string line = FormatRecord({{"program", "other"}, {"device_name", "x"}}, Measured());
  EXPECT_EQ(Refusal(line), "it is of another configuration: program is 'other', here 'grid'");
  EXPECT_NE(Refusal(FormatRecord({{"program", "grid"}}, Measured())).find("'device_name'"),
            std::string::npos);
}

TEST(GridRecord, RefusesOtherLines) {
  EXPECT_EQ(Refusal(R"({"schema":2})"), "it has schema 2, this program writes 1");
  for (const char* line : {"", "{", "[]", "1", "{}", R"({"schema":1})", "\xff"}) {
    EXPECT_NE(Refusal(line).find("it is no result of a grid search"), std::string::npos) << line;
  }
  auto json = nlohmann::json::parse(FormatRecord(kConditions, Measured()));
  json["status"] = "guessed";
  EXPECT_EQ(Refusal(json.dump()), "its status 'guessed' is unknown");
  json["status"] = "measured";
  json["num_layers"] = "3";
  EXPECT_NE(Refusal(json.dump()).find("it is no result of a grid search"), std::string::npos);
}

}  // namespace
}  // namespace sluice
