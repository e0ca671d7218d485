#include "core/checkpoint/reference_checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"

namespace sluice {
namespace {

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
    throw Error(fmt::format("'{}' is no reference checkpoint of this run; differences ({}):\n  {}",
                            path, total, fmt::join(shown_, "\n  ")));
  }

 private:
  static constexpr size_t kMaxShown = 5;
  size_t count_ = 0;
  std::vector<std::string> shown_;
};

void CompareMetadata(const SafetensorsMetadata& found, const SafetensorsMetadata& expected,
                     Differences& differences) {
  // The model first: it explains the rest.
  for (const std::string_view key : {"model", "num_layers", "hidden_size", "seq_len", "num_heads",
                                     "batch_size", "loss", "seed", "dtype", "commit"}) {
    const auto it = found.find(key);
    if (it == found.end()) {
      differences.Add("metadata {} is missing", key);
    } else if (key != "dtype" && key != "commit" && it->second != expected.find(key)->second) {
      differences.Add("metadata {} is '{}', expected '{}'", key, Printable(it->second),
                      expected.find(key)->second);
    }
  }
}

// Returns the element type that the file's own dtype asks for, or that of `expected`.
SafetensorsDType ExpectedDType(const SafetensorsMetadata& metadata, Precision expected,
                               Differences& differences) {
  const auto dtype = metadata.find("dtype");
  if (dtype == metadata.end()) return FileDType(expected);
  try {
    return FileDType(ParsePrecision(dtype->second));
  } catch (const Error&) {
    differences.Add("metadata dtype is '{}', which is no dtype", Printable(dtype->second));
    return FileDType(expected);
  }
}

void CompareTensors(const SafetensorsReader& file, const std::vector<SafetensorsTensor>& expected,
                    Differences& differences) {
  for (const SafetensorsTensor& tensor : expected) {
    const SafetensorsTensor* found = file.Find(tensor.name);
    if (found == nullptr) {
      differences.Add("tensor {} is missing", tensor.name);
    } else if (found->shape != tensor.shape) {
      differences.Add("tensor {} is [{}], expected [{}]", tensor.name,
                      fmt::join(found->shape, ", "), fmt::join(tensor.shape, ", "));
    } else if (found->dtype != tensor.dtype) {
      differences.Add("tensor {} is {}, expected {}", tensor.name, Name(found->dtype),
                      Name(tensor.dtype));
    }
  }
  std::vector<std::string_view> names;
  for (const SafetensorsTensor& tensor : expected) names.push_back(tensor.name);
  std::ranges::sort(names);
  for (const SafetensorsTensor& tensor : file.tensors()) {
    if (!std::ranges::binary_search(names, std::string_view(tensor.name)))
      differences.Add("tensor {} is unexpected", Printable(tensor.name));
  }
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

  header.metadata = {
      {"model", model.name},
      {"num_layers", std::to_string(model.num_layers)},
      {"hidden_size", std::to_string(model.hidden_size)},
      {"seq_len", std::to_string(model.seq_len)},
      {"num_heads", std::to_string(model.num_heads)},
      {"batch_size", std::to_string(run.batch_size)},
      {"loss", run.loss},
      {"seed", std::to_string(run.seed)},
      {"dtype", std::string(Name(run.dtype))},
      {"commit", run.commit},
  };
  return header;
}

void CheckReference(const SafetensorsReader& file, const ReferenceRun& expected) {
  Differences differences;
  SafetensorsHeader header = ReferenceHeader(expected);
  CompareMetadata(file.metadata(), header.metadata, differences);
  const SafetensorsDType dtype = ExpectedDType(file.metadata(), expected.dtype, differences);
  for (SafetensorsTensor& tensor : header.tensors) tensor.dtype = dtype;
  CompareTensors(file, header.tensors, differences);
  differences.ThrowIfAny(file.path());
}

}  // namespace sluice
