#include "parallel/planner/links.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"
#include "core/base/input_file.h"
#include "core/base/parse.h"
#include "parallel/planner/json_fields.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = "sluice links 1";
constexpr std::string_view kTextForm =
    "NAME:BANDWIDTH,LATENCY within a host and, after a semicolon, between hosts, such as "
    "nvlink:370GB/s,3us;net:45GB/s,12us";

[[noreturn]] void RefuseText(std::string_view text, std::string_view part) {
  throw Error(fmt::format("links '{}' is not allowed: '{}' is not {}", text, part, kTextForm));
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

struct TextUnit {
  std::string_view suffix;
  double factor;
};
// A suffix precedes those that it ends with.
constexpr std::array kBandwidthUnits = {TextUnit{"TB/s", 1e12}, TextUnit{"GB/s", 1e9},
                                        TextUnit{"MB/s", 1e6}, TextUnit{"KB/s", 1e3},
                                        TextUnit{"B/s", 1}};
constexpr std::array kLatencyUnits = {TextUnit{"ns", 1e-9}, TextUnit{"us", 1e-6},
                                      TextUnit{"ms", 1e-3}, TextUnit{"s", 1}};

template <size_t n>
double ParseQuantity(std::string_view what, std::string_view text,
                     const std::array<TextUnit, n>& units) {
  std::vector<std::string_view> suffixes;
  for (const TextUnit& unit : units) {
    suffixes.push_back(unit.suffix);
    if (!text.ends_with(unit.suffix)) continue;
    const double value =
        ParseNumber(what, text.substr(0, text.size() - unit.suffix.size())) * unit.factor;
    if (value > 0) return value;
    throw Error(fmt::format("{} '{}' is not allowed: it must be greater than 0", what, text));
  }
  throw Error(fmt::format("{} '{}' is not allowed: it must be a number with one of the units {}",
                          what, text, fmt::join(suffixes, ", ")));
}

Link ParseLinkText(std::string_view text, std::string_view part) {
  const size_t colon = part.find(':');
  if (colon == 0 || colon == std::string_view::npos) RefuseText(text, part);
  const std::string name(part.substr(0, colon));
  const std::vector<std::string_view> numbers = Split(part.substr(colon + 1), ',');
  if (numbers.size() != 2) RefuseText(text, part);
  const double bytes_per_s =
      ParseQuantity(fmt::format("bandwidth of link {}", name), numbers[0], kBandwidthUnits);
  const double latency_s =
      ParseQuantity(fmt::format("latency of link {}", name), numbers[1], kLatencyUnits);
  return {.name = name, .latency_s = {latency_s}, .bytes_per_s = {bytes_per_s}};
}

Link ParseLink(const JsonField& field) {
  field.CheckKeys({"name", "latency_s", "bytes_per_s", "bytes_per_s_both_ways",
                   "bytes_per_s_beside_compute", "compute_slowdown"});
  return {.name = field.At("name").Text(),
          .latency_s = field.At("latency_s").PositiveSamples(),
          .bytes_per_s = field.At("bytes_per_s").PositiveSamples(),
          .bytes_per_s_both_ways = field.At("bytes_per_s_both_ways").Numbers(1),
          .bytes_per_s_beside_compute = field.At("bytes_per_s_beside_compute").Numbers(1),
          .compute_slowdown = field.At("compute_slowdown").Numbers(0)};
}

Json LinkJson(const Link& link) {
  return {{"name", link.name},
          {"latency_s", link.latency_s},
          {"bytes_per_s", link.bytes_per_s},
          {"bytes_per_s_both_ways", link.bytes_per_s_both_ways},
          {"bytes_per_s_beside_compute", link.bytes_per_s_beside_compute},
          {"compute_slowdown", link.compute_slowdown}};
}

}  // namespace

Links ParseLinksText(std::string_view text, int ranks_per_host) {
  const std::vector<std::string_view> parts = Split(text, ';');
  if (parts.size() > 2) RefuseText(text, parts[2]);
  Links links = {.ranks_per_host = ranks_per_host, .within_host = ParseLinkText(text, parts[0])};
  if (parts.size() == 2) links.between_hosts = ParseLinkText(text, parts[1]);
  return links;
}

Links ParseLinks(std::string_view text, const std::string& file) {
  const JsonField root = ParseJson(text, file);
  root.CheckKeys({"format", "ranks_per_host", "commit", "device_name", "date", "within_host",
                  "between_hosts"});
  root.At("format").Choice({std::string(kFormat)});
  Links links = {.is_measured = true,
                 .ranks_per_host = static_cast<int>(
                     std::min<int64_t>(root.At("ranks_per_host").Integer(0), 1 << 30)),
                 .commit = root.At("commit").Text(),
                 .device_name = root.At("device_name").Text(),
                 .date = root.At("date").Text(),
                 .within_host = ParseLink(root.At("within_host"))};
  if (!root.At("between_hosts").IsNull()) {
    links.between_hosts = ParseLink(root.At("between_hosts"));
  }
  return links;
}

Links ReadLinks(const std::string& path) { return ParseLinks(ReadTextFile(path), path); }

std::string FormatLinks(const Links& links) {
  const Json json = {
      {"format", kFormat},
      {"ranks_per_host", links.ranks_per_host},
      {"commit", links.commit},
      {"device_name", links.device_name},
      {"date", links.date},
      {"within_host", LinkJson(links.within_host)},
      {"between_hosts", links.between_hosts ? LinkJson(*links.between_hosts) : Json(nullptr)}};
  return json.dump(1) + "\n";
}

}  // namespace sluice
