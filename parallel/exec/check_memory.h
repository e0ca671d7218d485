// Refuses a job that cannot fit into memory, before anything of it is allocated.
#pragma once

#include <cstdint>
#include <vector>

#include "core/backend/backend.h"
#include "parallel/exec/job.h"

namespace sluice {

// Bytes that an executor allocates, by what they are for.
struct ExecutorNeed {
  int64_t weights = 0;
  int64_t weight_gradients = 0;
  int64_t activations = 0;  // the model's input and the loss's projection among them
  int64_t activation_gradients = 0;
  int64_t workspaces = 0;  // of layers and of kernels

  int64_t total() const;  // throws Error when it does not fit int64_t
};

// Of one rank at `pipeline` of the pipeline: all its tensor- and data-parallel copies need as much.
ExecutorNeed NeedOf(const JobPlan& plan, int pipeline, const Kernels& kernels);

// What ranks take of their memory that is not their executors'.
struct OtherBytes {
  int64_t beside = 0;   // of each rank, allocated while there is an executor
  int64_t apart = 0;    // of each rank, for the ceilings that are measured when there is none
  int64_t threads = 0;  // of all ranks: address space that their threads take
};

// Throws Error unless what all of `ranks` need fits into the memory of `backend`'s device, which
// they share (the ranks of one host on the cpu, one rank on cuda). It names the need, by purpose,
// the rank with the most and what would fit. What the driver's context and kernels hold of a GPU is
// taken already, and named.
void CheckMemory(const JobPlan& plan, const std::vector<int>& ranks, const Backend& backend,
                 OtherBytes other);

}  // namespace sluice
