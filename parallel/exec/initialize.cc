#include "parallel/exec/initialize.h"

#include <algorithm>
#include <span>
#include <string>

#include "core/base/rng.h"
#include "core/device/cpu/cpu_device.h"
#include "core/device/cpu/thread_pool.h"
#include "core/model/initial_values.h"
#include "core/tensor/convert.h"

namespace sluice {
namespace {

// A tensor's bytes in host memory.
class HostCopy {
 public:
  explicit HostCopy(const Tensor& tensor)
      : bytes_(static_cast<size_t>(tensor.num_bytes())),
        tensor_(bytes_.data(), tensor.dtype(), tensor.shape()) {}

  const Tensor& tensor() const { return tensor_; }

 private:
  std::vector<char> bytes_;
  Tensor tensor_;
};

}  // namespace

std::vector<double> ReadTensor(Device& device, const Tensor& tensor) {
  const HostCopy host(tensor);
  device.CopyToHost(host.tensor().data(), tensor.data(), tensor.num_bytes());
  std::vector<double> values(static_cast<size_t>(tensor.num_elements()));
  ConvertTo(values, host.tensor());
  return values;
}

void WriteTensor(Device& device, const Tensor& tensor, const std::vector<double>& values) {
  const HostCopy host(tensor);
  ConvertFrom(host.tensor(), std::span<const double>(values));
  device.CopyFromHost(tensor.data(), host.tensor().data(), tensor.num_bytes());
}

BatchBlock OwnBlock(const JobPlan& plan, const RankCoordinates& rank, const Unit& unit) {
  const Slice& slice = plan.config.slices[static_cast<size_t>(unit.slice)];
  BatchBlock block = {.position_begin = slice.begin, .num_positions = slice.len};
  if (plan.splits_sequence()) {
    block.num_positions /= plan.config.sizes.tensor;
    block.position_begin += rank.tensor * block.num_positions;
  }
  block.num_sequences = plan.micro_batch_size;
  block.sequence_begin = (int64_t{rank.data} * plan.config.num_micro_batches + unit.micro_batch) *
                         plan.micro_batch_size;
  return block;
}

namespace {

// The block's elements of a [positions, batch_size, row_size] tensor that `fill` draws by element
// index.
template <typename Fill>
std::vector<double> DrawBlock(const BatchBlock& block, int64_t batch_size, int64_t row_size,
                              const Fill& fill) {
  const int64_t count = block.num_sequences * row_size;
  std::vector<double> values(static_cast<size_t>(block.num_positions * count));
  for (int64_t i = 0; i < block.num_positions; ++i) {
    const int64_t position = block.position_begin + i;
    fill((position * batch_size + block.sequence_begin) * row_size,
         std::span<double>(values).subspan(static_cast<size_t>(i * count),
                                           static_cast<size_t>(count)));
  }
  return values;
}

void InitializeWeights(const JobPlan& plan, ShardIndex shard, const RankMemory& memory,
                       Device& device) {
  const std::vector<ParameterSpec> specs = LayerParameters(plan.config.model);
  // Ranks that are threads of one process draw at the same time, each with its share of the cores.
  ThreadPool pool(std::max(1, NumCores() / plan.config.sizes.world_size()));
  std::vector<double> values;
  for (const int64_t layer : memory.layers()) {
    for (size_t i = 0; i < specs.size(); ++i) {
      const Block block = ShardBlock(specs[i], shard);
      values.resize(static_cast<size_t>(block.num_elements()));
      pool.ParallelFor(block.num_rows, 1, [&](int64_t begin, int64_t end) {
        Block rows = block;
        rows.row_begin += begin;
        rows.num_rows = end - begin;
        FillParameter<double>(
            {plan.config.seed, layer}, specs[i], rows,
            std::span<double>(values).subspan(static_cast<size_t>(begin * block.num_columns),
                                              static_cast<size_t>(rows.num_elements())));
      });
      WriteTensor(device, memory.Weights(layer)[i], values);
    }
  }
}

// The cached prefix of layer i: stream "layers.{i}.prefix", standard normal, by element of the
// whole [prefix_len, batch_size, 3 * hidden_size] as in_proj would write it.
void InitializePrefix(const JobPlan& plan, const RankCoordinates& rank, const Unit& unit,
                      int64_t layer, const RankMemory& memory, Device& device) {
  const int64_t prefix_len = plan.config.prefix_len;
  const int64_t row_size = 3 * plan.config.model.hidden_size;
  const int64_t own_size = row_size / plan.config.sizes.tensor;
  const RandomStream stream(plan.config.seed, ParameterName(layer, "prefix"));
  BatchBlock block = OwnBlock(plan, rank, unit);
  std::vector<double> values;
  for (int64_t position = 0; position < prefix_len; ++position) {
    for (int64_t b = 0; b < block.num_sequences; ++b) {
      const int64_t row = position * plan.config.batch_size + block.sequence_begin + b;
      for (int64_t j = 0; j < own_size; ++j) {
        values.push_back(
            stream.Normal(static_cast<uint64_t>(row * row_size + rank.tensor * own_size + j)));
      }
    }
  }
  WriteTensor(device, memory.Activations(unit, layer).qkv.Rows(0, prefix_len), values);
}

}  // namespace

void InitializeRank(const JobPlan& plan, const RankCoordinates& rank,
                    const TensorParallel& tensor_parallel, const RankMemory& memory,
                    Device& device) {
  const uint64_t seed = plan.config.seed;
  InitializeWeights(plan, tensor_parallel.shard(), memory, device);
  for (const Op& op : plan.schedule.ops_of_rank[static_cast<size_t>(rank.pipeline)]) {
    if (op.kind != OpKind::kForward) continue;
    const BatchBlock block = OwnBlock(plan, rank, op.unit);
    const auto draw = [&](const Tensor& tensor, auto fill) {
      if (!tensor.present()) return;
      WriteTensor(device, tensor,
                  DrawBlock(block, plan.config.batch_size, plan.config.model.hidden_size, fill));
    };
    const LayerRange& layers = plan.layers_of_stage[static_cast<size_t>(op.unit.stage)];
    for (int64_t i = 0; i < layers.num_layers && plan.config.prefix_len > 0; ++i) {
      InitializePrefix(plan, rank, op.unit, layers.begin + i, memory, device);
    }
    if (op.unit.stage == 0) {
      draw(memory.Input(op.unit),
           [&](int64_t begin, std::span<double> out) { FillInput<double>(seed, begin, out); });
    }
    if (op.unit.stage == plan.schedule.num_stages - 1) {
      draw(memory.Projection(op.unit),
           [&](int64_t begin, std::span<double> out) { FillProjection<double>(seed, begin, out); });
    }
  }
}

}  // namespace sluice
