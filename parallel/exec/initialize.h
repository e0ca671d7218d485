// Copies between a rank's memory and the host: initial values in, results out.
#pragma once

#include <vector>

#include "core/device/device.h"
#include "core/model/initial_values.h"
#include "core/model/tensor_parallel.h"
#include "parallel/exec/job_plan.h"
#include "parallel/exec/rank_memory.h"

namespace sluice {

// Writes the rank's shards of the weights that are not drawn yet, its parts of the model's input
// and of the loss's projection, and the cached prefix into its memory.
void InitializeRank(const JobPlan& plan, const RankCoordinates& rank,
                    const TensorParallel& tensor_parallel, const InitialValues& values,
                    const RankMemory& memory, Device& device);

// The part of the whole [seq_len, batch_size, hidden_size] tensor that a unit's own rows hold.
struct BatchBlock {
  int64_t position_begin = 0;
  int64_t num_positions = 0;
  int64_t sequence_begin = 0;
  int64_t num_sequences = 0;
};

BatchBlock OwnBlock(const JobPlan& plan, const RankCoordinates& rank, const Unit& unit);

// The elements of a tensor of `device`, as float64.
std::vector<double> ReadTensor(Device& device, const Tensor& tensor);

// Copies `values` to a tensor of `device`, rounded to the tensor's type.
void WriteTensor(Device& device, const Tensor& tensor, const std::vector<double>& values);

}  // namespace sluice
