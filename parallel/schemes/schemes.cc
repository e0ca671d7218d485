#include "parallel/schemes/schemes.h"

#include <fmt/format.h>

#include <utility>

#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/base/suggest.h"
#include "parallel/schedule/find_error.h"

namespace sluice {

#define SLUICE_SCHEME(name, build, placement, flags, description) \
  std::vector<Op> build(const ScheduleShape& shape, int rank);
#include "parallel/schemes/scheme_table.inc"
#undef SLUICE_SCHEME

namespace {

constexpr int kNumChunksOfV = 2;

struct FlagValue {
  std::string_view name;
  int value;
  FlagUse use;
};

std::vector<std::string> NamesOfSchemesThatUse(FlagUse use) {
  std::vector<std::string> names;
  for (const Scheme& scheme : Schemes()) {
    if (scheme.flags & use) names.emplace_back(scheme.name);
  }
  return names;
}

void CheckFlag(const Scheme& scheme, const FlagValue& flag) {
  if (flag.value < 1) {
    throw Error(fmt::format("{} {} is not allowed: it must be at least 1", flag.name, flag.value));
  }
  if (flag.value == 1 || (scheme.flags & flag.use)) return;
  std::string names;
  for (const std::string& name : NamesOfSchemesThatUse(flag.use)) names += " " + name;
  throw Error(
      fmt::format("{} {} is not allowed with scheme {}: it must be 1; schemes that use it:{}",
                  flag.name, flag.value, scheme.name, names));
}

void CheckShape(const Scheme& scheme, const ScheduleShape& shape) {
  CheckFlag(scheme, {"pipeline_parallel_size", shape.num_ranks, kUsesRanks});
  CheckFlag(scheme, {"num_micro_batches", shape.num_micro_batches, kUsesMicroBatches});
  CheckFlag(scheme, {"n_slices", shape.num_slices, kUsesSlices});
  CheckFlag(scheme, {"num_chunks", shape.num_chunks, kUsesChunks});
  const int64_t num_units = CheckedProduct(
      "stages x num_micro_batches x n_slices",
      {shape.num_ranks, scheme.placement == Placement::kV ? kNumChunksOfV : shape.num_chunks,
       shape.num_micro_batches, shape.num_slices});
  if (num_units > kMaxNumUnits) {
    throw Error(fmt::format(
        "pipeline_parallel_size {} x chunks x num_micro_batches {} x n_slices {} "
        "makes {} units of work; at most {} are allowed",
        shape.num_ranks, shape.num_micro_batches, shape.num_slices, num_units, kMaxNumUnits));
  }
}

std::vector<int> PlaceStages(const Scheme& scheme, const ScheduleShape& shape) {
  std::vector<int> rank_of_stage(NumStages(scheme, shape));
  for (int rank = 0; rank < shape.num_ranks; ++rank) {
    for (int chunk = 0; chunk < std::ssize(rank_of_stage) / shape.num_ranks; ++chunk) {
      const ChunkOfRank where = {rank, chunk};
      const int stage =
          scheme.placement == Placement::kV ? VStage(shape, where) : LoopStage(shape, where);
      rank_of_stage[stage] = rank;
    }
  }
  return rank_of_stage;
}

}  // namespace

const std::vector<Scheme>& Schemes() {
  static const std::vector<Scheme>& schemes = *new std::vector<Scheme>{
#define SLUICE_SCHEME(name, build, placement, flags, description) \
  {#name, description, placement, flags, build},
#include "parallel/schemes/scheme_table.inc"
#undef SLUICE_SCHEME
  };
  return schemes;
}

const Scheme& FindScheme(std::string_view name) {
  std::vector<std::string> names;
  for (const Scheme& scheme : Schemes()) {
    if (scheme.name == name) return scheme;
    names.emplace_back(scheme.name);
  }
  throw Error(UnknownName("scheme", name, names));
}

int NumStages(const Scheme& scheme, const ScheduleShape& shape) {
  return shape.num_ranks * (scheme.placement == Placement::kV ? kNumChunksOfV : shape.num_chunks);
}

Schedule BuildSchedule(const Scheme& scheme, const ScheduleShape& shape) {
  CheckShape(scheme, shape);
  Schedule schedule = {.num_stages = NumStages(scheme, shape),
                       .num_ranks = shape.num_ranks,
                       .num_micro_batches = shape.num_micro_batches,
                       .num_slices = shape.num_slices,
                       .pass = Pass::kStep,
                       .rank_of_stage = PlaceStages(scheme, shape)};
  for (int rank = 0; rank < shape.num_ranks; ++rank) {
    schedule.ops_of_rank.push_back(scheme.build(shape, rank));
  }
  if (const auto error = FindComputeError(schedule)) {
    throw Error(
        fmt::format("the schedule that scheme {} builds is wrong: {}", scheme.name, *error));
  }
  return shape.pass == Pass::kStep ? schedule : ForwardOf(std::move(schedule));
}

}  // namespace sluice
