// The costs of one plan: of its ops for Simulate, and of a whole step.
//
//   const PlanCosts costs({.op_costs = ..., .links = ...}, sizes);
//   const Simulation simulation = Simulate(schedule, costs.ForSimulation(schedule, layers));
//   const double step_s = costs.StepSeconds(simulation, ...);
//
// A step is priced as docs/planning.md describes: ops by unit costs and the collectives of tensor
// parallelism, messages by links, and after a rank's last op the sum of its weight gradients over
// data-parallel ranks.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/model/model_config.h"
#include "core/tensor/dtype.h"
#include "parallel/exec/job_plan.h"
#include "parallel/planner/link_costs.h"
#include "parallel/planner/links.h"
#include "parallel/planner/op_costs.h"
#include "parallel/schedule/layer_split.h"
#include "parallel/schedule/simulate.h"

namespace sluice {

// What a plan's costs depend on, except for the order of its ops.
struct PlanSizes {
  ModelConfig model;
  Precision precision = Precision::kFloat32;
  DType grad_dtype = DType::kFloat32;
  PlanKind plan = PlanKind::kMegatron;
  ParallelSizes sizes;
  int64_t micro_batch_size = 1;
  std::vector<Slice> slices;
};

// Those of a planned job.
PlanSizes SizesOf(const JobPlan& plan);

// Bytes of the activation of a slice, or of its gradient, that one rank sends to the next stage.
int64_t MessageBytesOf(const PlanSizes& sizes, const Slice& slice);

class PlanCosts {
 public:
  PlanCosts(const OpCosts& op_costs, const LinkCosts& link_costs, PlanSizes sizes);

  const PlanSizes& sizes() const { return sizes_; }

  // The stage has these layers; it is the first or the last of the pipeline, or both.
  struct StagePart {
    int64_t num_layers = 1;
    bool is_first = false;
    bool is_last = false;
  };
  double OpSeconds(OpKind kind, int slice, const StagePart& stage) const;
  // The collectives in OpSeconds.
  double CollectiveSeconds(OpKind kind, int slice, int64_t num_layers) const;

  int64_t MessageBytes(int slice) const;
  double MessageSeconds(const Edge& edge, int slice) const;
  // The sum of the gradients of `num_layers` layers over data-parallel ranks.
  double GradientSumSeconds(int64_t num_layers) const;

  // For schedules of these sizes; refers to this object and to both arguments.
  SimulationCosts ForSimulation(const Schedule& schedule,
                                const std::vector<LayerRange>& layers_of_stage) const;

  // From the start of a step to the end of the last rank's gradient sum.
  double StepSeconds(const Schedule& schedule, const std::vector<LayerRange>& layers_of_stage,
                     const Simulation& simulation) const;

 private:
  struct KindCosts {
    double launch_s = 0;
    // [num_slices]
    std::vector<double> layer_s, collective_s, first_s, last_s;
  };
  const KindCosts& Of(OpKind kind) const { return kinds_[static_cast<size_t>(kind)]; }

  PlanSizes sizes_;
  LinkCosts link_costs_;
  std::array<KindCosts, 4> kinds_;  // by compute kind
  std::vector<int64_t> message_bytes_;
  double gradient_bytes_of_layer_ = 0;
};

}  // namespace sluice
