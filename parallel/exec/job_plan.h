// The plan of a job: what is run, how it is split over ranks, and everything that follows from
// these before a rank starts.
//
//   JobPlan plan = PlanJob(config);       // throws Error: nothing is allocated, no rank runs yet
//   Executor executor(plan, ...);         // one per rank
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/model/loss_kind.h"
#include "core/model/model_config.h"
#include "core/model/tensor_parallel.h"
#include "core/tensor/dtype.h"
#include "parallel/plan/layer_plan.h"
#include "parallel/schedule/layer_split.h"
#include "parallel/schedule/schedule.h"
#include "parallel/schedule/slices.h"

namespace sluice {

// Ranks along each axis. Their product is the world size.
struct ParallelSizes {
  int pipeline = 1;
  int tensor = 1;
  int data = 1;

  int world_size() const { return pipeline * tensor * data; }
};

// A rank's index on each axis. Tensor-parallel ranks are neighbours, then pipeline ranks, then
// data-parallel ranks: rank = (data * pipeline_size + pipeline) * tensor_size + tensor.
struct RankCoordinates {
  int pipeline = 0;
  int tensor = 0;
  int data = 0;
};

RankCoordinates CoordinatesOf(int rank, const ParallelSizes& sizes);
int RankOf(const RankCoordinates& coordinates, const ParallelSizes& sizes);

struct JobConfig {
  ModelConfig model;
  int64_t batch_size = 1;
  int64_t prefix_len = 0;           // cached positions before the sequence, which have no gradients
  LossKind loss = LossKind::kMean;  // kNone: of a forward only
  uint64_t seed = 0;
  Precision precision = Precision::kFloat32;
  // The type of the gradients of the four linear layers' weights and biases: the accumulator type
  // of `precision` (the default) or its storage type.
  std::optional<DType> grad_dtype;

  std::string scheme = "single";
  Pass pass = Pass::kStep;
  std::vector<Slice> slices;  // of the sequence; empty means one
  int num_micro_batches = 1;  // each data-parallel rank splits its part of the batch into these
  int num_chunks = 1;
  // A schedule that replaces `scheme` and num_chunks, such as one from a file (schedule_file.h).
  // Its numbers of ranks, micro-batches and slices are those of this config.
  std::shared_ptr<const Schedule> given_schedule;
  ParallelSizes sizes;
  PlanKind plan = PlanKind::kMegatron;
};

DType GradDType(const JobConfig& config);

struct JobPlan {
  JobConfig config;  // its slices are never empty
  Schedule schedule;
  std::vector<LayerRange> layers_of_stage;
  std::vector<std::vector<int>> stages_of_rank;  // [pipeline ranks], each ascending
  std::vector<int> place_of_stage;               // [num_stages], index in stages_of_rank
  int64_t micro_batch_size = 1;

  bool splits_sequence() const {
    return config.sizes.tensor > 1 && config.plan == PlanKind::kMegatronSequenceParallel;
  }
  const LayerRange& LayersOf(const Unit& unit) const { return layers_of_stage[unit.stage]; }
  const Slice& SliceOf(const Unit& unit) const { return config.slices[unit.slice]; }
  ShardIndex ShardOf(const RankCoordinates& rank) const {
    return {.index = rank.tensor, .count = config.sizes.tensor};
  }
};

// Throws Error with the number and what is allowed when the parts do not fit together (heads,
// features or a batch that cannot be divided, slices that do not sum to the sequence, ...). The
// schedule has passed FindError.
JobPlan PlanJob(JobConfig config);

}  // namespace sluice
