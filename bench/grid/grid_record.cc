#include "bench/grid/grid_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bench/harness/condition_metrics.h"
#include "bench/harness/cpu_contention.h"
#include "core/base/error.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kMeasured = "measured";
constexpr const char* kOutOfMemory = "out_of_memory";

void CheckConditions(const GridConditions& conditions, const Json& json) {
  if (json.at("schema") != kGridSchema) {
    throw Error(fmt::format("it has schema {}, this program writes {}", json.at("schema").dump(),
                            kGridSchema));
  }
  for (const auto& [name, value] : conditions) {
    const std::string found = json.at(name).get<std::string>();
    if (found == value) continue;
    throw Error(
        fmt::format("it is of another configuration: {} is '{}', here '{}'", name, found, value));
  }
}

bool IsCounter(std::string_view name) {
  const auto has_name = [&](const auto& metric) { return metric.name == name; };
  return std::ranges::any_of(ContentionMetrics(), has_name) ||
         std::ranges::any_of(ConditionMetrics(), has_name) ||
         name.starts_with("clocks_event_share_");
}

GridRecord Fields(const Json& json) {
  GridRecord record;
  record.point = {.num_layers = json.at("num_layers"),
                  .hidden_size = json.at("hidden_size"),
                  .seq_len = json.at("seq_len"),
                  .prefix_len = json.at("prefix_len")};
  record.needed_bytes = json.at("needed_bytes");
  const std::string status = json.at("status");
  if (status == kOutOfMemory) {
    record.status = PointStatus::kOutOfMemory;
    record.available_bytes = json.at("available_bytes");
    return record;
  }
  if (status != kMeasured) throw Error(fmt::format("its status '{}' is unknown", status));
  record.median_ns = json.at("median_ns");
  if (record.median_ns < 1) throw Error(fmt::format("its median_ns is {}", record.median_ns));
  record.min_ns = json.at("min_ns");
  record.max_ns = json.at("max_ns");
  record.flops = json.at("flops");
  record.ceiling_flops_per_s = json.at("ceiling_flops_per_s");
  for (const auto& [name, value] : json.items()) {
    if (IsCounter(name)) record.counters[name] = value;
  }
  return record;
}

}  // namespace

bool GridRecord::is_disturbed() const {
  const auto found = counters.find("is_disturbed");
  return found != counters.end() && found->second != 0;
}

std::string FormatRecord(const GridConditions& conditions, const GridRecord& record) {
  Json json;
  json["schema"] = kGridSchema;
  for (const auto& [name, value] : conditions) json[name] = value;
  json["num_layers"] = record.point.num_layers;
  json["hidden_size"] = record.point.hidden_size;
  json["seq_len"] = record.point.seq_len;
  json["prefix_len"] = record.point.prefix_len;
  json["needed_bytes"] = record.needed_bytes;
  if (record.status == PointStatus::kOutOfMemory) {
    json["status"] = kOutOfMemory;
    json["available_bytes"] = record.available_bytes;
    return json.dump();
  }
  json["status"] = kMeasured;
  json["median_ns"] = record.median_ns;
  json["min_ns"] = record.min_ns;
  json["max_ns"] = record.max_ns;
  json["flops"] = record.flops;
  json["flops_per_s"] = record.flops_per_s();
  json["ceiling_flops_per_s"] = record.ceiling_flops_per_s;
  json["share_of_ceiling"] = record.flops_per_s() / record.ceiling_flops_per_s;
  for (const auto& [name, value] : record.counters) json[name] = value;
  return json.dump();
}

GridRecord ParseRecord(const GridConditions& conditions, const std::string& line) {
  try {
    const Json json = Json::parse(line);
    CheckConditions(conditions, json);
    return Fields(json);
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("it is no result of a grid search: {}", error.what()));
  }
}

}  // namespace sluice
