#include "parallel/exec/initialize.h"

#include <algorithm>
#include <functional>
#include <span>
#include <vector>

#include "core/device/cpu/cpu_device.h"
#include "core/device/cpu/thread_pool.h"
#include "core/model/draw_rows.h"
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
  const Slice& slice = plan.config.slices[unit.slice];
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

// Where the rows of a rank's [positions, sequences, row_size] tensor are in the whole [..,
// batch_size, whole_row_size] tensor. A Fill draws consecutive elements of the whole tensor.
struct RowParts {
  int64_t position_begin = 0;
  int64_t sequence_begin = 0;
  int64_t batch_size = 0;
  int64_t whole_row_size = 0;
  int64_t column_begin = 0;
};
using Fill = std::function<void(int64_t element_begin, std::span<double> out)>;

RowDrawing DrawingOf(const Tensor& tensor, const RowParts& parts, const Fill& fill) {
  const int64_t num_sequences = tensor.shape()[1];
  const auto row_size = static_cast<size_t>(tensor.row_size() / num_sequences);
  return [=](int64_t position, std::span<double> rows) {
    for (; !rows.empty(); ++position) {
      for (int64_t i = 0; i < num_sequences; ++i) {
        const int64_t row =
            (parts.position_begin + position) * parts.batch_size + parts.sequence_begin + i;
        fill(row * parts.whole_row_size + parts.column_begin, rows.first(row_size));
        rows = rows.subspan(row_size);
      }
    }
  };
}

// Writes to the memory of one rank, with its share of the cores: ranks may be threads of one
// process.
class Initializer {
 public:
  Initializer(const JobPlan& plan, const RankCoordinates& rank, const InitialValues& values,
              const RankMemory& memory, Device& device)
      : plan_(plan),
        rank_(rank),
        values_(values),
        memory_(memory),
        device_(device),
        pool_(std::max(1, NumCores() / plan.config.sizes.world_size())) {}

  void DrawWeights(ShardIndex shard) {
    const std::vector<ParameterSpec> specs = LayerParameters(plan_.config.model);
    for (size_t own = memory_.num_drawn_layers(); own < memory_.layers().size(); ++own) {
      const int64_t layer = memory_.layers()[own];
      for (size_t i = 0; i < specs.size(); ++i) {
        const Block block = ShardBlock(specs[i], shard);
        DrawRows(device_, pool_, memory_.Weights(layer)[i],
                 [&](int64_t row_begin, std::span<double> rows) {
                   Block part = block;
                   part.row_begin += row_begin;
                   part.num_rows = static_cast<int64_t>(rows.size()) / block.num_columns;
                   values_.Parameter(layer, specs[i], part, rows);
                 });
      }
    }
  }

  void DrawUnit(const Unit& unit) {
    if (plan_.config.prefix_len > 0 && unit.slice == 0) DrawPrefix(unit);
    if (unit.stage == 0) {
      DrawHidden(unit, memory_.Input(unit),
                 [this](int64_t begin, std::span<double> out) { values_.Input(begin, out); });
    }
    if (unit.stage == plan_.schedule.num_stages - 1) {
      DrawHidden(unit, memory_.Projection(unit),
                 [this](int64_t begin, std::span<double> out) { values_.Projection(begin, out); });
    }
  }

 private:
  void DrawHidden(const Unit& unit, const Tensor& tensor, const Fill& fill) {
    if (!tensor.present()) return;
    const BatchBlock block = OwnBlock(plan_, rank_, unit);
    const RowParts parts = {.position_begin = block.position_begin,
                            .sequence_begin = block.sequence_begin,
                            .batch_size = plan_.config.batch_size,
                            .whole_row_size = plan_.config.model.hidden_size};
    DrawRows(device_, pool_, tensor, DrawingOf(tensor, parts, fill));
  }

  // Draws the cached prefix of each layer, which the slices of a micro-batch share.
  void DrawPrefix(const Unit& unit) {
    const int64_t row_size = 3 * plan_.config.model.hidden_size;
    const RowParts parts = {.sequence_begin = OwnBlock(plan_, rank_, unit).sequence_begin,
                            .batch_size = plan_.config.batch_size,
                            .whole_row_size = row_size,
                            .column_begin = rank_.tensor * row_size / plan_.config.sizes.tensor};
    const LayerRange& layers = plan_.LayersOf(unit);
    for (int64_t layer = layers.begin; layer < layers.begin + layers.num_layers; ++layer) {
      const Tensor qkv = memory_.Activations(unit, layer).qkv.Rows(0, plan_.config.prefix_len);
      DrawRows(device_, pool_, qkv,
               DrawingOf(qkv, parts, [this, layer](int64_t begin, std::span<double> out) {
                 values_.Prefix(layer, begin, out);
               }));
    }
  }

  const JobPlan& plan_;
  const RankCoordinates& rank_;
  const InitialValues& values_;
  const RankMemory& memory_;
  Device& device_;
  ThreadPool pool_;
};

}  // namespace

void InitializeRank(const JobPlan& plan, const RankCoordinates& rank,
                    const TensorParallel& tensor_parallel, const InitialValues& values,
                    const RankMemory& memory, Device& device) {
  Initializer initializer(plan, rank, values, memory, device);
  initializer.DrawWeights(tensor_parallel.shard());
  for (const Op& op : plan.schedule.ops_of_rank[rank.pipeline]) {
    if (op.kind == OpKind::kForward) initializer.DrawUnit(op.unit);
  }
}

}  // namespace sluice
