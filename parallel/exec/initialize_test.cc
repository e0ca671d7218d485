#include "parallel/exec/initialize.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/rng.h"
#include "core/device/cpu/cpu_device.h"
#include "core/tensor/convert.h"

namespace sluice {
namespace {

// A rank of a tensor-parallel group that never communicates.
class Place : public NoTensorParallel {
 public:
  Place(ShardIndex shard, bool splits_sequence)
      : shard_(shard), splits_sequence_(splits_sequence) {}
  ShardIndex shard() const override { return shard_; }
  bool splits_sequence() const override { return splits_sequence_; }

 private:
  ShardIndex shard_;
  bool splits_sequence_;
};

// Two stages, slices and micro-batches with a cached prefix, and rows of odd sizes.
JobConfig Odd(Precision precision, PlanKind plan) {
  JobConfig config;
  config.model = {.name = "odd", .num_layers = 3, .hidden_size = 42, .seq_len = 10, .num_heads = 6};
  config.batch_size = 8;
  config.prefix_len = 5;
  config.loss = LossKind::kProjection;
  config.seed = 77;
  config.precision = precision;
  config.scheme = "seq_one_f_one_b";
  config.slices = UniformSlices(10, 5);
  config.num_micro_batches = 2;
  config.sizes = {.pipeline = 2, .tensor = 2, .data = 2};
  config.plan = plan;
  return config;
}

std::vector<char> BytesOf(const Tensor& tensor) {
  const auto* begin = static_cast<const char*>(tensor.data());
  return {begin, begin + tensor.num_bytes()};
}

// The values that `tensor` must hold: `element_of(row, i)` is the value's index in its stream.
template <typename ElementOf, typename ValueOf>
std::vector<char> Expected(const Tensor& tensor, const ElementOf& element_of,
                           const ValueOf& value_of) {
  std::vector<double> values;
  for (int64_t row = 0; row < tensor.num_rows(); ++row) {
    for (int64_t i = 0; i < tensor.row_size(); ++i) values.push_back(value_of(element_of(row, i)));
  }
  std::vector<char> bytes(static_cast<size_t>(tensor.num_bytes()));
  ConvertFrom(Tensor(bytes.data(), tensor.dtype(), tensor.shape()),
              std::span<const double>(values));
  return bytes;
}

class InitializeRankTest : public testing::TestWithParam<std::tuple<Precision, PlanKind>> {
 protected:
  InitializeRankTest()
      : plan_(PlanJob(Odd(std::get<0>(GetParam()), std::get<1>(GetParam())))),
        device_({.num_threads = 1}) {}

  void ExpectWeights(const RankMemory& memory, ShardIndex shard) {
    const std::vector<ParameterSpec> specs = LayerParameters(plan_.config.model);
    for (const int64_t layer : memory.layers()) {
      for (size_t i = 0; i < specs.size(); ++i) {
        std::vector<double> whole(static_cast<size_t>(specs[i].shape.num_elements()));
        FillParameter<double>({plan_.config.seed, layer}, specs[i], WholeBlock(specs[i]), whole);
        const Block block = ShardBlock(specs[i], shard);
        const int64_t whole_columns = WholeBlock(specs[i]).num_columns;
        const Tensor& tensor = memory.Weights(layer)[i];
        EXPECT_EQ(BytesOf(tensor), Expected(
                                       tensor,
                                       [&](int64_t row, int64_t column) {
                                         return (block.row_begin + row) * whole_columns +
                                                block.column_begin + column;
                                       },
                                       [&](int64_t element) { return whole[element]; }))
            << "layer " << layer << " " << specs[i].name;
      }
    }
  }

  // Checks a [positions, sequences, row_size] tensor of one stream, whose rows are parts of longer
  // ones.
  struct Stream {
    std::string name;
    int64_t whole_row_size = 0;
    int64_t column_begin = 0;
  };
  void ExpectNormal(const Tensor& tensor, const BatchBlock& block, const Stream& stream) {
    const RandomStream values(plan_.config.seed, stream.name);
    const int64_t columns = tensor.row_size() / block.num_sequences;
    EXPECT_EQ(BytesOf(tensor),
              Expected(
                  tensor,
                  [&](int64_t position, int64_t i) {
                    const int64_t row =
                        (block.position_begin + position) * plan_.config.batch_size +
                        block.sequence_begin + i / columns;
                    return row * stream.whole_row_size + stream.column_begin + i % columns;
                  },
                  [&](int64_t element) { return values.Normal(static_cast<uint64_t>(element)); }))
        << stream.name;
  }

  void ExpectUnit(const RankMemory& memory, const RankCoordinates& rank, const Unit& unit) {
    const int64_t hidden_size = plan_.config.model.hidden_size;
    const BatchBlock block = OwnBlock(plan_, rank, unit);
    if (unit.stage == 0) ExpectNormal(memory.Input(unit), block, {"input", hidden_size});
    if (unit.stage == plan_.schedule.num_stages - 1) {
      ExpectNormal(memory.Projection(unit), block, {"projection", hidden_size});
    }
    BatchBlock prefix = block;
    prefix.position_begin = 0;
    const LayerRange& layers = plan_.layers_of_stage[unit.stage];
    for (int64_t layer = layers.begin; layer < layers.begin + layers.num_layers; ++layer) {
      ExpectNormal(memory.Activations(unit, layer).qkv.Rows(0, plan_.config.prefix_len), prefix,
                   {"layers." + std::to_string(layer) + ".prefix", 3 * hidden_size,
                    rank.tensor * 3 * hidden_size / plan_.config.sizes.tensor});
    }
  }

  JobPlan plan_;
  CpuDevice device_;
};

TEST_P(InitializeRankTest, GivesEachElementTheValueOfItsNumberInTheWhole) {
  for (int index = 0; index < plan_.config.sizes.world_size(); ++index) {
    SCOPED_TRACE("rank " + std::to_string(index));
    const RankCoordinates rank = CoordinatesOf(index, plan_.config.sizes);
    RankMemory memory(plan_, rank);
    memory.Allocate(device_);
    const ShardIndex shard = plan_.ShardOf(rank);
    InitializeRank(plan_, rank, Place(shard, plan_.splits_sequence()),
                   DrawnValues(plan_.config.seed), memory, device_);
    ExpectWeights(memory, shard);
    for (const Op& op : plan_.schedule.ops_of_rank[rank.pipeline]) {
      if (op.kind == OpKind::kForward) ExpectUnit(memory, rank, op.unit);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Precisions, InitializeRankTest,
    testing::Combine(testing::Values(Precision::kFloat64, Precision::kFloat32, Precision::kBFloat16,
                                     Precision::kFloat16),
                     testing::Values(PlanKind::kMegatron, PlanKind::kMegatronSequenceParallel)));

}  // namespace
}  // namespace sluice
