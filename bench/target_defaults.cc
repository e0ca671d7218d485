#include "bench/target_defaults.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

#include "parallel/schemes/schemes.h"
#include "programs/comm_kind.h"

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

// Says which defaults cannot hold beside the flags that were given.
class Conflicts {
 public:
  Conflicts(const Flags& given, const Flags& defaults) : given_(given), defaults_(defaults) {}

  bool With(std::string_view name) const {
    if (Gives(name)) return true;
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
    if (name == "num_layers") return NumStages() > Default(name);
    return false;
  }

 private:
  bool Gives(std::string_view name) const { return given_.find(name) != given_.end(); }

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

  std::string_view SchemeName() const {
    for (const Flags* flags : {&given_, &defaults_}) {
      if (const auto flag = flags->find("scheme"); flag != flags->end()) return flag->second;
    }
    return "";
  }

  // Of a scheme that was given; the target's uses what its own defaults say.
  bool IsUnusedByScheme(FlagUse use) const {
    if (!Gives("scheme")) return false;
    // megatron is a plan, on the schedule of single.
    const std::string_view name = SchemeName() == "megatron" ? "single" : SchemeName();
    for (const Scheme& scheme : Schemes()) {
      if (scheme.name == name) return (scheme.flags & use) == 0;
    }
    return false;
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
    const std::string_view own_axis =
        SchemeName() == "megatron" ? "tensor_parallel_size" : "pipeline_parallel_size";
    const bool takes_the_rest = SchemeName() != "single" && !Gives(own_axis);
    return takes_the_rest ? world_size % product != 0 : world_size != product;
  }

  // With the ranks or chunks that were given; 1 where none was.
  int64_t NumStages() const {
    const bool is_given = Gives("world_size") || Gives("pipeline_parallel_size") ||
                          Gives("num_chunks") || Gives("scheme");
    if (!is_given || SchemeName() == "single" || SchemeName() == "megatron") return 1;
    const int64_t num_ranks = Given("pipeline_parallel_size", GivenOrDefault("world_size") /
                                                                  Given("tensor_parallel_size", 1) /
                                                                  Given("data_parallel_size", 1));
    const int64_t chunks_of_v = SchemeName() == "zero_bubble_v" ? 2 : 1;
    return num_ranks * std::max(GivenOrDefault("num_chunks"), chunks_of_v);
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
