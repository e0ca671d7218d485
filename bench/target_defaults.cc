#include "bench/target_defaults.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

#include "core/device/device.h"
#include "programs/comm_kind.h"
#include "programs/scheme_choices.h"

namespace sluice {
namespace {

using Flags = std::map<std::string, std::string, std::less<>>;

void AddFlag(std::string_view argument, std::string_view next, Flags* flags) {
  if (!argument.starts_with("--")) return;
  const size_t equals = argument.find('=');
  const bool has_value = equals != std::string_view::npos;
  flags->emplace(argument.substr(2, has_value ? equals - 2 : equals),
                 has_value ? argument.substr(equals + 1) : next);
}

Flags Parse(const std::vector<std::string>& arguments) {
  Flags flags;
  for (size_t i = 0; i < arguments.size(); ++i) {
    AddFlag(arguments[i], i + 1 < arguments.size() ? arguments[i + 1] : "", &flags);
  }
  return flags;
}

// Finds the defaults that contradict the flags that were given.
class Conflicts {
 public:
  Conflicts(const Flags& given, const Flags& defaults) : given_(given), defaults_(defaults) {}

  bool With(std::string_view name) const {
    if (Gives(name)) return true;
    if (Gives("schedule_file") && IsSetByScheduleFile(name)) return true;
    if (name == "slices") return Gives("n_slices") || IsUnusedByScheme(kUsesSlices);
    if (name == "n_slices") {
      return Gives("slices") || IsUnusedByScheme(kUsesSlices) ||
             (Gives("seq_len") && Default(name) > Given("seq_len", 0));
    }
    if (name == "seq_len") return Gives("slices") || Given("n_slices", 1) > Default(name);
    if (name == "num_chunks") return IsUnusedByScheme(kUsesChunks);
    if (name == "num_micro_batches") {
      return IsUnusedByScheme(kUsesMicroBatches) || !Divides(NumBatchParts(Default(name)));
    }
    if (name == "batch_size") return !Divides(NumBatchParts(Given("num_micro_batches", 1)));
    if (name == "world_size") return IsOtherWorldSize(Default(name));
    if (name == "threads") return IsOnCuda();
    if (name == "num_layers") return NumStages() > Default(name);
    return false;
  }

 private:
  bool Gives(std::string_view name) const { return given_.find(name) != given_.end(); }

  bool IsOnCuda() const {
    const auto device = given_.find("device");
    return device != given_.end() && device->second == Name(DeviceKind::kCuda);
  }

  static bool IsSetByScheduleFile(std::string_view name) {
    constexpr std::string_view kNames[] = {"scheme",     "pipeline_parallel_size",
                                           "world_size", "num_micro_batches",
                                           "n_slices",   "slices",
                                           "num_chunks"};
    return std::ranges::find(kNames, name) != std::end(kNames);
  }

  static std::optional<int64_t> Number(const Flags& flags, std::string_view name) {
    const auto flag = flags.find(name);
    if (flag == flags.end()) return std::nullopt;
    const std::string& text = flag->second;
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number < 1) return std::nullopt;
    // No product of a few of them overflows.
    return std::min<int64_t>(number, 1 << 20);
  }
  int64_t Given(std::string_view name, int64_t otherwise) const {
    return Number(given_, name).value_or(otherwise);
  }
  int64_t Default(std::string_view name) const { return Number(defaults_, name).value_or(1); }
  int64_t GivenOrDefault(std::string_view name) const { return Given(name, Default(name)); }

  // Null where the name that was given is unknown.
  const SchemeChoice* GetScheme() const {
    for (const Flags* flags : {&given_, &defaults_}) {
      const auto flag = flags->find("scheme");
      if (flag != flags->end()) return FindSchemeChoice(flag->second);
    }
    return nullptr;
  }

  // False for the target's own scheme, which uses what its other defaults say.
  bool IsUnusedByScheme(ShapeField field) const {
    const SchemeChoice* const scheme = GetScheme();
    return Gives("scheme") && scheme != nullptr && (scheme->scheme->shape_fields & field) == 0;
  }

  int64_t NumBatchParts(int64_t num_micro_batches) const {
    return Given("data_parallel_size", 1) * num_micro_batches;
  }
  bool Divides(int64_t num_parts) const { return GivenOrDefault("batch_size") % num_parts == 0; }

  // Whether a launcher has started the ranks, or those that were given do not make this many.
  bool IsOtherWorldSize(int64_t world_size) const {
    for (const CommKind kind : {CommKind::kMpi, CommKind::kNccl}) {
      const auto comm = given_.find("comm");
      if (comm != given_.end() && comm->second == Name(kind) && RanksAreProcesses(kind))
        return true;
    }
    const int64_t product = Given("pipeline_parallel_size", 1) * Given("tensor_parallel_size", 1) *
                            Given("data_parallel_size", 1);
    const SchemeChoice* const scheme = GetScheme();
    if (scheme == nullptr) return world_size % product != 0;
    const bool own_axis_is_given =
        Gives(scheme->own_axis == &ParallelSizes::tensor ? "tensor_parallel_size"
                                                         : "pipeline_parallel_size");
    const bool gets_the_rest = scheme->own_axis != nullptr && !own_axis_is_given;
    return gets_the_rest ? world_size % product != 0 : world_size != product;
  }

  // With the ranks or chunks that were given; 1 where none was.
  int64_t NumStages() const {
    const bool is_given = Gives("world_size") || Gives("pipeline_parallel_size") ||
                          Gives("num_chunks") || Gives("scheme");
    const SchemeChoice* const scheme = GetScheme();
    if (!is_given || scheme == nullptr || scheme->own_axis != &ParallelSizes::pipeline) return 1;
    const int64_t num_ranks = Given("pipeline_parallel_size", GivenOrDefault("world_size") /
                                                                  Given("tensor_parallel_size", 1) /
                                                                  Given("data_parallel_size", 1));
    return num_ranks *
           sluice::NumStages(*scheme->scheme,
                             {.num_chunks = static_cast<int>(GivenOrDefault("num_chunks"))});
  }

  const Flags& given_;
  const Flags& defaults_;
};

}  // namespace

std::vector<std::string> WithTargetDefaults(const std::vector<std::string>& given,
                                            const std::vector<std::string>& defaults) {
  const Flags given_flags = Parse(given);
  const Flags default_flags = Parse(defaults);
  const Conflicts conflicts(given_flags, default_flags);
  std::vector<std::string> arguments = given;
  for (const auto& [name, value] : default_flags) {
    if (!conflicts.With(name)) arguments.push_back("--" + name + "=" + value);
  }
  return arguments;
}

}  // namespace sluice
