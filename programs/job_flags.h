// The flags that say how a workload is divided among ranks and where the ranks run, and the rules
// for those that were not given. Programs of bench and correctness share them.
//
//   --scheme --schedule_file --n_slices --slices --num_micro_batches --num_chunks --prefix_len
//   --plan --pipeline_parallel_size --tensor_parallel_size --data_parallel_size --device
//   --attention --threads, and those of comm_flags.h and workload_flags.h
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "parallel/schedule/schedule.h"
#include "programs/job.h"
#include "programs/scheme_choices.h"
#include "programs/workload_flags.h"

namespace sluice {

// The flags after Main has parsed them. Defaults: batch 1, one micro-batch, one slice, loss mean,
// float32, and as many ranks as the machine has devices (one per core on the CPU) or as a launcher
// has started. Throws Error naming flag, value and what is allowed.
Job JobFromFlags();

// The same with this workload instead of that of the flags.
Job JobFromFlags(const Workload& workload);

// The same for a scheme other than --scheme, on `default_world_size` ranks if the flags do not say
// how many and no launcher has started them.
struct SchemeDefaults {
  std::string scheme;
  std::optional<int> default_world_size = std::nullopt;  // absent: the devices of this host
  std::shared_ptr<const Schedule> schedule = nullptr;    // if not null, replaces the scheme's own
};
Job JobFromFlags(const Workload& workload, const SchemeDefaults& defaults);

// Sizes that were given; all at least 1.
struct RequestedSizes {
  std::optional<int> world_size;
  std::optional<int> pipeline;
  std::optional<int> tensor;
  std::optional<int> data;
};

// Whether the scheme and these sizes determine the world size. Otherwise it is the machine's
// default.
bool RequestsWorldSize(const SchemeChoice& scheme, const RequestedSizes& requested);

// The sizes along each axis. A size that was not given is 1, except that the scheme's own axis gets
// the rest of the world size. Without any size the world size is `default_world_size`, or 1 where
// the scheme has no own axis. Throws Error naming product and factors where they do not make the
// world size.
ParallelSizes ResolveSizes(const SchemeChoice& scheme, const RequestedSizes& requested,
                           int default_world_size);

// PlanJob, with flag names in the messages of its Errors.
JobPlan PlanFromFlags(const JobConfig& config);

}  // namespace sluice
