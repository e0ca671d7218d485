#include "core/checkpoint/reference_checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/parse.h"

namespace sluice {
namespace {

constexpr const char* kCustomModel = "custom";

SafetensorsDType FileDType(Precision precision) {
  return AccumulatorDType(precision) == DType::kFloat64 ? SafetensorsDType::kF64
                                                        : SafetensorsDType::kF32;
}

// Collects differences; only the first few are kept as text, as a file for another model can differ
// in thousands.
class Differences {
 public:
  template <typename... Args>
  void Add(fmt::format_string<Args...> format, Args&&... args) {
    if (++count_ <= kMaxShown) shown_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  void ThrowIfAny(const std::string& path) const {
    if (count_ == 0) return;
    const std::string total = count_ <= kMaxShown
                                  ? fmt::format("{}", count_)
                                  : fmt::format("first {} of {}", kMaxShown, count_);
    throw Error(fmt::format("'{}' is no reference checkpoint of this run; differences ({}): {}",
                            path, total, fmt::join(shown_, "; ")));
  }

 private:
  static constexpr size_t kMaxShown = 5;
  size_t count_ = 0;
  std::vector<std::string> shown_;
};

// Names the values of `found` that are not those of `expected`.
void CompareMetadata(const SafetensorsMetadata& found, const SafetensorsMetadata& expected,
                     Differences& differences) {
  // The model first: it explains the rest.
  for (const std::string_view key : {"model", "num_layers", "hidden_size", "seq_len", "num_heads",
                                     "batch_size", "loss", "seed"}) {
    const auto in_file = found.find(key);
    const auto wanted = expected.find(key);
    if (in_file == found.end() || wanted == expected.end() || in_file->second == wanted->second) {
      continue;
    }
    // Another name for the same model.
    if (key == "model" && wanted->second == kCustomModel) continue;
    differences.Add("metadata {} is '{}', expected '{}'", key, Printable(in_file->second),
                    wanted->second);
  }
}

// Adds a difference unless the file has the tensor, in a type that can be read.
void CompareTensor(const SafetensorsReader& file, const SafetensorsTensor& tensor,
                   Differences& differences) {
  const SafetensorsTensor* found = file.Find(tensor.name);
  if (found == nullptr) return differences.Add("tensor {} is missing", tensor.name);
  if (found->shape != tensor.shape) {
    return differences.Add("tensor {} is [{}], expected [{}]", tensor.name,
                           fmt::join(found->shape, ", "), fmt::join(tensor.shape, ", "));
  }
  if (!ReferenceDType(found->dtype)) {
    differences.Add("tensor {} is {}, expected F64, F32, BF16 or F16", tensor.name,
                    Name(found->dtype));
  }
}

void CompareTensors(const SafetensorsReader& file, const std::vector<SafetensorsTensor>& expected,
                    Differences& differences) {
  for (const SafetensorsTensor& tensor : expected) {
    CompareTensor(file, tensor, differences);
  }
  std::vector<std::string_view> names;
  for (const SafetensorsTensor& tensor : expected) names.push_back(tensor.name);
  std::ranges::sort(names);
  for (const SafetensorsTensor& tensor : file.tensors()) {
    if (!std::ranges::binary_search(names, std::string_view(tensor.name)))
      differences.Add("tensor {} is unexpected", Printable(tensor.name));
  }
}

// Reads metadata values, and collects what is wrong with them.
class MetadataReader {
 public:
  explicit MetadataReader(const SafetensorsReader& file) : file_(file) {}

  // `parse` throws Error on a value that is not valid.
  template <typename Parse>
  void Read(std::string_view key, const Parse& parse) {
    const auto found = file_.metadata().find(key);
    if (found == file_.metadata().end())
      return problems_.push_back(fmt::format("{} is missing", key));
    try {
      parse(found->second);
    } catch (const Error& error) {
      problems_.push_back(error.what());
    }
  }

  int64_t ReadInteger(std::string_view key, IntegerRange range) {
    int64_t value = 1;
    Read(key, [&](const std::string& text) { value = ParseInteger(key, Printable(text), range); });
    return value;
  }

  std::string ReadOptional(std::string_view key) const {
    const auto found = file_.metadata().find(key);
    return found == file_.metadata().end() ? "" : found->second;
  }

  void ThrowIfWrong() const {
    if (problems_.empty()) return;
    throw Error(fmt::format("'{}' is no reference checkpoint; its metadata: {}", file_.path(),
                            fmt::join(problems_, "; ")));
  }

 private:
  const SafetensorsReader& file_;
  std::vector<std::string> problems_;
};

SafetensorsMetadata MetadataOf(const ReferenceRun& run) {
  const ModelConfig& model = run.model;
  SafetensorsMetadata metadata = {
      {"model", model.name},
      {"num_layers", std::to_string(model.num_layers)},
      {"hidden_size", std::to_string(model.hidden_size)},
      {"seq_len", std::to_string(model.seq_len)},
      {"num_heads", std::to_string(model.num_heads)},
      {"batch_size", std::to_string(run.batch_size)},
      {"loss", run.loss},
      {"dtype", std::string(Name(run.dtype))},
      {"commit", run.commit},
  };
  if (run.seed) metadata["seed"] = std::to_string(*run.seed);
  return metadata;
}

}  // namespace

SafetensorsHeader ReferenceHeader(const ReferenceRun& run) {
  SLUICE_CHECK(run.loss == "mean" || run.loss == "projection");
  const ModelConfig& model = run.model;
  const SafetensorsDType dtype = FileDType(run.dtype);
  const std::vector<int64_t> activation = {model.seq_len, run.batch_size, model.hidden_size};

  SafetensorsHeader header;
  const auto add = [&](std::string name, std::vector<int64_t> shape) {
    header.tensors.push_back({std::move(name), dtype, std::move(shape)});
  };
  const auto add_layer = [&](std::string_view prefix, int64_t layer) {
    for (const ParameterSpec& parameter : LayerParameters(model)) {
      std::vector<int64_t> shape;
      for (int axis = 0; axis < parameter.shape.rank(); ++axis)
        shape.push_back(parameter.shape[axis]);
      add(fmt::format("{}{}", prefix, ParameterName(layer, parameter.name)), std::move(shape));
    }
  };
  add("input", activation);
  if (run.loss == "projection") add("projection", activation);
  for (int64_t layer = 0; layer < model.num_layers; ++layer) add_layer("", layer);
  add("output", activation);
  add("loss", {1});
  for (int64_t layer = model.num_layers - 1; layer >= 0; --layer) add_layer("grad.", layer);
  add("grad.input", activation);

  header.metadata = MetadataOf(run);
  return header;
}

std::optional<DType> ReferenceDType(SafetensorsDType dtype) {
  switch (dtype) {
    case SafetensorsDType::kF64:
      return DType::kFloat64;
    case SafetensorsDType::kF32:
      return DType::kFloat32;
    case SafetensorsDType::kBF16:
      return DType::kBFloat16;
    case SafetensorsDType::kF16:
      return DType::kFloat16;
    default:
      return std::nullopt;
  }
}

ReferenceRun ReadReferenceRun(const SafetensorsReader& file) {
  constexpr IntegerRange kExtent = {1, 1 << 30};
  MetadataReader metadata(file);
  ReferenceRun run;
  run.model = {.name = metadata.ReadOptional("model"),
               .num_layers = metadata.ReadInteger("num_layers", kExtent),
               .hidden_size = metadata.ReadInteger("hidden_size", kExtent),
               .seq_len = metadata.ReadInteger("seq_len", kExtent),
               .num_heads = metadata.ReadInteger("num_heads", kExtent)};
  run.batch_size = metadata.ReadInteger("batch_size", kExtent);
  metadata.Read("loss", [&](const std::string& text) {
    if (text != "mean" && text != "projection") {
      throw Error(fmt::format("loss '{}' is not valid: mean or projection", Printable(text)));
    }
    run.loss = text;
  });
  metadata.Read("dtype",
                [&](const std::string& text) { run.dtype = ParsePrecision(Printable(text)); });
  if (!metadata.ReadOptional("seed").empty()) {
    run.seed = static_cast<uint64_t>(
        metadata.ReadInteger("seed", {0, std::numeric_limits<int64_t>::max()}));
  }
  run.commit = metadata.ReadOptional("commit");
  metadata.ThrowIfWrong();
  const auto is_named = [&](const ModelConfig& model) { return model.name == run.model.name; };
  if (std::ranges::none_of(NamedModels(), is_named)) run.model.name = kCustomModel;
  Validate(run.model);
  return run;
}

void CheckReference(const SafetensorsReader& file, const ReferenceRun& expected) {
  ReadReferenceRun(file);
  Differences differences;
  CompareMetadata(file.metadata(), MetadataOf(expected), differences);
  // Not all names of a model of millions of layers are made to say that a file lacks them.
  constexpr int64_t kMaxMissingLayers = 1000;
  const int64_t max_layers =
      std::ssize(file.tensors()) / (2 * kNumLayerParameters) + kMaxMissingLayers;
  ReferenceRun compared = expected;
  compared.model.num_layers = std::min(expected.model.num_layers, max_layers);
  CompareTensors(file, ReferenceHeader(compared).tensors, differences);
  differences.ThrowIfAny(file.path());
}

}  // namespace sluice
