#include "correctness/golden/golden.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <span>

#include "core/base/check.h"
#include "core/base/parse.h"
#include "core/base/rng.h"
#include "core/checkpoint/safetensors_reader.h"
#include "correctness/tolerance/stack_bound.h"

namespace sluice {
namespace {

using reference::Values;

constexpr char kFolder[] = "correctness/golden/fixtures";

int64_t Number(const SafetensorsMetadata& metadata, std::string_view key) {
  const auto found = metadata.find(key);
  SLUICE_CHECK(found != metadata.end());
  return ParseInteger(key, found->second, {0, int64_t{1} << 32});
}

Golden ReadGolden(const std::filesystem::path& path) {
  const SafetensorsReader reader(path.string());
  const SafetensorsMetadata& metadata = reader.metadata();
  Golden golden{.name = path.stem().string()};
  golden.options = {
      .config = {.name = golden.name,
                 .num_layers = Number(metadata, "num_layers"),
                 .hidden_size = Number(metadata, "hidden_size"),
                 .seq_len = Number(metadata, "seq_len"),
                 .num_heads = Number(metadata, "num_heads")},
      .batch_size = Number(metadata, "batch_size"),
      .prefix_len = Number(metadata, "prefix_len"),
      .loss = metadata.at("loss") == "mean" ? LossKind::kMean : LossKind::kProjection,
      .seed = static_cast<uint64_t>(Number(metadata, "seed")),
  };
  for (const SafetensorsTensor& tensor : reader.tensors()) {
    SLUICE_CHECK(tensor.dtype == SafetensorsDType::kF64);
    std::vector<double>& values = golden.tensors[tensor.name];
    values.resize(static_cast<size_t>(SizeBytes(tensor)) / sizeof(double));
    reader.Read(tensor.name, std::as_writable_bytes(std::span(values)));
  }
  return golden;
}

std::vector<double> UniformVector(uint64_t seed, std::string_view name, int64_t size) {
  std::vector<double> values(static_cast<size_t>(size));
  RandomStream(seed, name).FillUniform(0, values);
  return values;
}

// What the step has for every tensor that a fixture may hold, by the fixture's names.
std::map<std::string, Values> NamedTensors(const Golden& golden, const reference::Step& step) {
  const ModelConfig& config = golden.options.config;
  std::map<std::string, Values> tensors{
      {"output", step.output}, {"loss", {step.loss}}, {"grad.input", step.input_gradient}};
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const auto index = static_cast<size_t>(layer);
    const auto name = [&](std::string_view parameter) {
      return "grad." + ParameterName(layer, parameter);
    };
    if (golden.options.prefix_len > 0) tensors[name("prefix")] = step.prefix_gradients[index];
    for (const ParameterSpec& parameter : LayerParameters(config)) {
      const Values& gradient = step.gradients[index].at(parameter.name);
      tensors[name(parameter.name)] = gradient;
      if (parameter.shape.rank() != 2) continue;
      const int64_t rows = parameter.shape[0], columns = parameter.shape[1];
      const uint64_t seed = golden.options.seed;
      tensors[name(parameter.name) + ".right"] = reference::MatMul(
          {rows, columns, 1}, gradient, UniformVector(seed, "golden.right", columns));
      tensors[name(parameter.name) + ".left"] =
          reference::MatMul({1, rows, columns}, UniformVector(seed, "golden.left", rows), gradient);
    }
  }
  return tensors;
}

double Norm(const Values& values) {
  double squares = 0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares);
}

Bound BoundFor(const Golden& golden, const std::string& name, Precision precision) {
  ModelConfig config = golden.options.config;
  config.seq_len += golden.options.prefix_len;
  const int64_t batch_size = golden.options.batch_size;
  if (name == "loss") {
    const Values& z = golden.tensors.at("output");
    const Values r = InitialProblem(golden.options).projection;
    const LossMagnitudes magnitudes{
        .z_norm = Norm(z),
        .r_norm = r.empty() ? std::sqrt(static_cast<double>(z.size())) : Norm(r)};
    return {.relative_l2 = std::numeric_limits<double>::infinity(),
            .elementwise = {StackLossBound(config, batch_size, precision, magnitudes) +
                            StackLossBound(config, batch_size, Precision::kFloat64, magnitudes)}};
  }
  StackTensor tensor = StackTensor::kParameterGradient;
  if (name == "output") tensor = StackTensor::kActivation;
  if (name == "grad.input" || name.ends_with(".prefix")) tensor = StackTensor::kActivationGradient;
  return {.relative_l2 = StackRelativeL2(config, batch_size, precision, tensor) +
                         StackRelativeL2(config, batch_size, Precision::kFloat64, tensor)};
}

}  // namespace

std::vector<Golden> ReadGoldens() {
  std::vector<Golden> goldens;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    goldens.push_back(ReadGolden(entry.path()));
  }
  std::sort(goldens.begin(), goldens.end(),
            [](const Golden& a, const Golden& b) { return a.name < b.name; });
  return goldens;
}

std::vector<Comparison> CompareWithGolden(const Golden& golden, const reference::Step& step,
                                          Precision precision) {
  const std::map<std::string, Values> actual = NamedTensors(golden, step);
  std::vector<Comparison> comparisons;
  for (const auto& [name, expected] : golden.tensors) {
    comparisons.push_back(CompareTensors<double, double>(
        golden.name + ": " + name, actual.at(name), expected, BoundFor(golden, name, precision)));
  }
  return comparisons;
}

}  // namespace sluice
