#include "parallel/planner/unit_costs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "core/base/input_file.h"
#include "core/tensor/dtype.h"
#include "core/tensor/precisions.h"
#include "parallel/planner/json_fields.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = "sluice unit costs 1";
constexpr std::array kKinds = {OpKind::kForward, OpKind::kBackward, OpKind::kBackwardInput,
                               OpKind::kBackwardWeight};

const std::vector<std::string>& KindNames() {
  static const auto& names =
      *new std::vector<std::string>{"forward", "backward", "input_gradient", "weight_gradient"};
  return names;
}

const std::vector<std::string>& EndNames() {
  static const auto& names = *new std::vector<std::string>{"first", "last"};
  return names;
}

OpKind KindOf(const JsonField& point) { return kKinds.at(point.At("kind").Choice(KindNames())); }

const std::string& NameOf(OpKind kind) {
  const auto found = std::ranges::find(kKinds, kind);
  SLUICE_CHECK(found != kKinds.end());
  return KindNames()[static_cast<size_t>(found - kKinds.begin())];
}

int IntOf(const JsonField& point, std::string_view key) {
  const int64_t value = point.At(key).Integer(1);
  if (value > 1 << 30) point.At(key).Fail(fmt::format("{} is more than {}", value, 1 << 30));
  return static_cast<int>(value);
}

CostConditions ParseConditions(const JsonField& field) {
  field.CheckKeys({"device", "device_name", "dtype", "attention", "kernels", "threads",
                   "num_concurrent_ranks", "commit", "tree", "date", "clock_mhz", "power_w"});
  std::vector<std::string> dtypes;
  for (const Precision precision : kPrecisions) dtypes.emplace_back(Name(precision));
  field.At("device").Choice({"cpu", "cuda"});
  field.At("dtype").Choice(dtypes);
  return {.device = field.At("device").Text(),
          .device_name = field.At("device_name").Text(),
          .dtype = field.At("dtype").Text(),
          .attention = field.At("attention").Text(),
          .kernels = field.At("kernels").Text(),
          .threads = IntOf(field, "threads"),
          .num_concurrent_ranks = IntOf(field, "num_concurrent_ranks"),
          .commit = field.At("commit").Text(),
          .tree = field.At("tree").Text(),
          .date = field.At("date").Text(),
          .clock_mhz = field.At("clock_mhz").Numbers(0),
          .power_w = field.At("power_w").Numbers(0)};
}

ModelConfig ParseModel(const JsonField& field) {
  field.CheckKeys({"name", "num_layers", "hidden_size", "seq_len", "num_heads"});
  ModelConfig model = {.name = field.At("name").Text(),
                       .num_layers = field.At("num_layers").Integer(1),
                       .hidden_size = field.At("hidden_size").Integer(1),
                       .seq_len = field.At("seq_len").Integer(1),
                       .num_heads = field.At("num_heads").Integer(1)};
  if (model.hidden_size % model.num_heads != 0) {
    field.At("num_heads")
        .Fail(fmt::format("{} does not divide hidden_size {}", model.num_heads, model.hidden_size));
  }
  return model;
}

LaunchCost ParseLaunch(const JsonField& point) {
  point.CheckKeys({"kind", "samples_s"});
  return {.kind = KindOf(point), .samples_s = point.At("samples_s").PositiveSamples()};
}

LinearCost ParseLinear(const JsonField& point) {
  point.CheckKeys({"kind", "tensor_parallel_size", "num_tokens", "samples_s"});
  return {.kind = KindOf(point),
          .tensor_parallel_size = IntOf(point, "tensor_parallel_size"),
          .num_tokens = point.At("num_tokens").Integer(1),
          .samples_s = point.At("samples_s").PositiveSamples()};
}

AttentionCost ParseAttention(const JsonField& point) {
  point.CheckKeys(
      {"kind", "tensor_parallel_size", "micro_batch_size", "slice_len", "prefix_len", "samples_s"});
  if (KindOf(point) == OpKind::kBackwardWeight) {
    point.At("kind").Fail("weight_gradient has no attention");
  }
  return {.kind = KindOf(point),
          .tensor_parallel_size = IntOf(point, "tensor_parallel_size"),
          .micro_batch_size = point.At("micro_batch_size").Integer(1),
          .slice_len = point.At("slice_len").Integer(1),
          .prefix_len = point.At("prefix_len").Integer(0),
          .samples_s = point.At("samples_s").PositiveSamples()};
}

EndCost ParseEnd(const JsonField& point) {
  point.CheckKeys({"kind", "end", "num_tokens", "samples_s"});
  return {.kind = KindOf(point),
          .end = point.At("end").Choice(EndNames()) == 0 ? StageEnd::kFirst : StageEnd::kLast,
          .num_tokens = point.At("num_tokens").Integer(1),
          .samples_s = point.At("samples_s").PositiveSamples()};
}

HeldOutCost ParseHeldOut(const JsonField& point) {
  point.CheckKeys({"kind", "num_layers", "tensor_parallel_size", "micro_batch_size", "slice_len",
                   "prefix_len", "predicted_s", "samples_s"});
  return {.kind = KindOf(point),
          .num_layers = point.At("num_layers").Integer(1),
          .tensor_parallel_size = IntOf(point, "tensor_parallel_size"),
          .micro_batch_size = point.At("micro_batch_size").Integer(1),
          .slice_len = point.At("slice_len").Integer(1),
          .prefix_len = point.At("prefix_len").Integer(0),
          .predicted_s = point.At("predicted_s").Number(0),
          .samples_s = point.At("samples_s").PositiveSamples()};
}

template <typename Point>
std::vector<Point> ParsePoints(const JsonField& list, Point (*parse)(const JsonField&)) {
  std::vector<Point> points;
  for (const JsonField& point : list.List()) points.push_back(parse(point));
  return points;
}

Json ConditionsJson(const CostConditions& conditions) {
  return {{"device", conditions.device},
          {"device_name", conditions.device_name},
          {"dtype", conditions.dtype},
          {"attention", conditions.attention},
          {"kernels", conditions.kernels},
          {"threads", conditions.threads},
          {"num_concurrent_ranks", conditions.num_concurrent_ranks},
          {"commit", conditions.commit},
          {"tree", conditions.tree},
          {"date", conditions.date},
          {"clock_mhz", conditions.clock_mhz},
          {"power_w", conditions.power_w}};
}

Json ModelJson(const ModelConfig& model) {
  return {{"name", model.name},
          {"num_layers", model.num_layers},
          {"hidden_size", model.hidden_size},
          {"seq_len", model.seq_len},
          {"num_heads", model.num_heads}};
}

Json PointJson(const LaunchCost& point) {
  return {{"kind", NameOf(point.kind)}, {"samples_s", point.samples_s}};
}

Json PointJson(const LinearCost& point) {
  return {{"kind", NameOf(point.kind)},
          {"tensor_parallel_size", point.tensor_parallel_size},
          {"num_tokens", point.num_tokens},
          {"samples_s", point.samples_s}};
}

Json PointJson(const AttentionCost& point) {
  return {{"kind", NameOf(point.kind)},
          {"tensor_parallel_size", point.tensor_parallel_size},
          {"micro_batch_size", point.micro_batch_size},
          {"slice_len", point.slice_len},
          {"prefix_len", point.prefix_len},
          {"samples_s", point.samples_s}};
}

Json PointJson(const EndCost& point) {
  return {{"kind", NameOf(point.kind)},
          {"end", EndNames()[static_cast<size_t>(point.end)]},
          {"num_tokens", point.num_tokens},
          {"samples_s", point.samples_s}};
}

Json PointJson(const HeldOutCost& point) {
  return {{"kind", NameOf(point.kind)},
          {"num_layers", point.num_layers},
          {"tensor_parallel_size", point.tensor_parallel_size},
          {"micro_batch_size", point.micro_batch_size},
          {"slice_len", point.slice_len},
          {"prefix_len", point.prefix_len},
          {"predicted_s", point.predicted_s},
          {"samples_s", point.samples_s}};
}

template <typename Point>
std::string Lines(std::string_view name, const std::vector<Point>& points) {
  std::vector<std::string> lines;
  for (const Point& point : points) lines.push_back("\n  " + PointJson(point).dump());
  return fmt::format(",\n\"{}\": [{}]", name, fmt::join(lines, ","));
}

}  // namespace

double AttentionPairs(double num_heads, const AttentionCost& point) {
  const auto len = static_cast<double>(point.slice_len);
  return num_heads * static_cast<double>(point.micro_batch_size) * len *
         (static_cast<double>(point.prefix_len) + (len + 1) / 2);
}

UnitCosts ParseUnitCosts(std::string_view text, const std::string& file) {
  const JsonField root = ParseJson(text, file);
  root.CheckKeys(
      {"format", "conditions", "model", "launch", "linear", "attention", "ends", "held_out"});
  root.At("format").Choice({std::string(kFormat)});
  UnitCosts costs = {.conditions = ParseConditions(root.At("conditions")),
                     .model = ParseModel(root.At("model")),
                     .launch = ParsePoints(root.At("launch"), ParseLaunch),
                     .linear = ParsePoints(root.At("linear"), ParseLinear),
                     .attention = ParsePoints(root.At("attention"), ParseAttention),
                     .ends = ParsePoints(root.At("ends"), ParseEnd),
                     .held_out = ParsePoints(root.At("held_out"), ParseHeldOut)};
  const auto is_forward = [](const auto& point) { return point.kind == OpKind::kForward; };
  if (std::ranges::none_of(costs.linear, is_forward)) root.At("linear").Fail("has no forward");
  if (std::ranges::none_of(costs.attention, is_forward)) {
    root.At("attention").Fail("has no forward");
  }
  return costs;
}

UnitCosts ReadUnitCosts(const std::string& path) {
  return ParseUnitCosts(ReadTextFile(path), path);
}

std::string FormatUnitCosts(const UnitCosts& costs) {
  return fmt::format("{{\"format\": \"{}\",\n\"conditions\": {},\n\"model\": {}", kFormat,
                     ConditionsJson(costs.conditions).dump(), ModelJson(costs.model).dump()) +
         Lines("launch", costs.launch) + Lines("linear", costs.linear) +
         Lines("attention", costs.attention) + Lines("ends", costs.ends) +
         Lines("held_out", costs.held_out) + "}\n";
}

}  // namespace sluice
