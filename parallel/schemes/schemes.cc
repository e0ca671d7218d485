#include "parallel/schemes/schemes.h"

#include <fmt/format.h>

#include <utility>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/base/suggest.h"
#include "parallel/schedule/find_error.h"

namespace sluice {

#define SLUICE_SCHEME(name, build, placement, shape_fields, idle_formula, description) \
  std::vector<Op> build(const ScheduleShape& shape, int rank);
#include "parallel/schemes/scheme_table.inc"
#undef SLUICE_SCHEME

namespace {

constexpr int kNumChunksOfV = 2;

struct FieldValue {
  ShapeField field;
  std::string_view name;
  int value;
};

void CheckField(const Scheme& scheme, const FieldValue& field) {
  SLUICE_CHECK(field.value >= 1);
  if (field.value == 1 || (scheme.shape_fields & field.field)) return;
  std::string names;
  for (const Scheme& other : Schemes()) {
    if (other.shape_fields & field.field) names += fmt::format(" {}", other.name);
  }
  throw Error(
      fmt::format("{} {} is not allowed with scheme {}: it must be 1; schemes that use it:{}",
                  field.name, field.value, scheme.name, names));
}

void CheckShape(const Scheme& scheme, const ScheduleShape& shape) {
  CheckField(scheme, {kUsesRanks, "num_ranks", shape.num_ranks});
  CheckField(scheme, {kUsesMicroBatches, "num_micro_batches", shape.num_micro_batches});
  CheckField(scheme, {kUsesSlices, "num_slices", shape.num_slices});
  CheckField(scheme, {kUsesChunks, "num_chunks", shape.num_chunks});
  const int64_t num_units = CheckedProduct(
      "stages x num_micro_batches x num_slices",
      {shape.num_ranks, scheme.placement == Placement::kV ? kNumChunksOfV : shape.num_chunks,
       shape.num_micro_batches, shape.num_slices});
  if (num_units > kMaxNumUnits) {
    throw Error(fmt::format(
        "num_ranks {} x chunks x num_micro_batches {} x num_slices {} "
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
#define SLUICE_SCHEME(name, build, placement, shape_fields, idle_formula, description) \
  {#name, description, placement, shape_fields, idle_formula, build},
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
