#include "programs/shared_flags.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/model/model_config.h"
#include "core/tensor/precisions.h"

namespace sluice {

std::vector<std::string> ModelNames() {
  std::vector<std::string> names;
  for (const ModelConfig& model : NamedModels()) names.push_back(model.name);
  return names;
}

std::vector<std::string> DeviceNames() {
  return {std::string(Name(DeviceKind::kCpu)), std::string(Name(DeviceKind::kCuda))};
}

std::vector<std::string> PrecisionNames() {
  std::vector<std::string> names;
  for (const Precision precision : kPrecisions) names.emplace_back(Name(precision));
  return names;
}

std::vector<std::string> GradDTypeNames() {
  std::vector<std::string> names;
  for (const Precision precision : kPrecisions) {
    const std::string name(Name(StorageDType(precision)));
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  return names;
}

DeviceKind ParseDevice(std::string_view name) {
  return name == Name(DeviceKind::kCuda) ? DeviceKind::kCuda : DeviceKind::kCpu;
}

void CheckThreadsFlag(DeviceKind device) {
  if (device != DeviceKind::kCpu && WasGiven("threads")) {
    throw Error("--threads is for --device=cpu only");
  }
}

}  // namespace sluice
