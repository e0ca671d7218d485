// The plans that the planner chooses from: sizes of the parallel groups, a scheme, and the numbers
// of micro-batches, slices and chunks.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/kernels/kernels.h"
#include "core/model/loss_kind.h"
#include "core/model/model_config.h"
#include "core/tensor/dtype.h"
#include "parallel/exec/job_plan.h"
#include "parallel/planner/op_costs.h"
#include "parallel/planner/slice_rules.h"
#include "parallel/schemes/schemes.h"

namespace sluice {

// What a user asks for.
struct PlanRequest {
  ModelConfig model;
  int64_t batch_size = 1;
  int num_devices = 1;
  Precision precision = Precision::kFloat32;
  std::optional<DType> grad_dtype;
  PlanKind plan = PlanKind::kMegatron;
  int64_t memory_bytes = 0;  // of a device
  SliceRule slice_rule = SliceRule::kBalanced;
  int64_t slice_tile = 64;  // boundaries of slices are multiples of it
  std::vector<const Scheme*> schemes;
  // The workspace of the kernels of a rank.
  std::function<int64_t(const KernelLimits&)> kernel_bytes = [](const KernelLimits&) {
    return int64_t{0};
  };
};

struct Candidate {
  const Scheme* scheme = nullptr;
  ParallelSizes sizes;
  int num_micro_batches = 1;
  int num_slices = 1;  // 0 for SliceRule::kTerapipe, which chooses it
  int num_chunks = 1;

  // Stages per rank.
  int stages_per_rank() const { return scheme->placement == Placement::kV ? 2 : num_chunks; }
  int num_stages() const { return sizes.pipeline * stages_per_rank(); }
};

// "seq_one_f_one_b d=2 p=4 t=8 m=16 n=8"
std::string LabelOf(const Candidate& candidate);

// Ways to divide the devices that no scheme can use, by reason.
struct RefusedSizes {
  std::string reason;
  int count = 0;
};

struct Candidates {
  std::vector<Candidate> plans;
  int num_sizes = 0;  // ordered factorizations of num_devices in tensor x pipeline x data
  std::vector<RefusedSizes> refused;
};

// All plans of `request` that its divisors allow. Rules of single schemes are not yet applied.
Candidates EnumerateCandidates(const PlanRequest& request, const OpCosts& costs);

JobConfig ConfigOf(const PlanRequest& request, const Candidate& candidate,
                   std::vector<Slice> slices);

// The rank that holds a stage.
int RankOfStage(const Candidate& candidate, int stage);

}  // namespace sluice
