// The flags that say how a workload is split over ranks and where the ranks run, with the rules by
// which they complete each other.  Programs of bench and correctness share them.
//
//   --scheme --n_slices --slices --num_micro_batches --num_chunks --prefix_len --plan
//   --pipeline_parallel_size --tensor_parallel_size --data_parallel_size --device --threads
//   and those of comm_flags.h and workload_flags.h
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "programs/job.h"
#include "programs/workload_flags.h"

namespace sluice {

// The flags after Main has parsed them.  Defaults: batch 1, one micro-batch, one slice, loss mean,
// float32, and as many ranks as the machine has devices (a core each on the cpu), or as a launcher
// has started.  `--scheme=megatron` is short for --scheme=single with all ranks tensor-parallel.
// Throws Error naming flag, value and what is allowed.
Job JobFromFlags();

// The same with another workload than that of the flags.
Job JobFromFlags(const Workload& workload);

// The names that --scheme takes: those of the table of schemes, and `megatron`.
std::vector<std::string> SchemeNames();

// Sizes that were given; all at least 1.
struct RequestedSizes {
  std::optional<int> world_size;
  std::optional<int> pipeline;
  std::optional<int> tensor;
  std::optional<int> data;
};

// Whether the world size follows from the scheme and these sizes.  Otherwise it is the machine's
// default.
bool RequestsWorldSize(std::string_view scheme, const RequestedSizes& requested);

// The sizes along each axis.  One that was not given is 1, but the scheme's own axis (tensor for
// `megatron`, none for `single`, else pipeline) takes what the world size leaves for it.  Without
// any size the world size is `default_world_size`, for `single` 1.  Throws Error naming product and
// factors when they do not make the world size.
ParallelSizes ResolveSizes(std::string_view scheme, const RequestedSizes& requested,
                           int default_world_size);

}  // namespace sluice
