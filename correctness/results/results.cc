#include "correctness/results/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "parallel/exec/initialize.h"

namespace sluice {

std::string Describe(const DifferentCopy& copy) {
  return fmt::format("rank {} holds another copy, off by {:.2e}", copy.rank, copy.difference);
}

Results::Results(const JobPlan& plan, Device& device, Executor& executor)
    : plan_(plan),
      device_(device),
      executor_(executor),
      output_(plan.config.model.seq_len * plan.config.batch_size * plan.config.model.hidden_size),
      input_gradient_(std::ssize(output_.values)) {
  const double gradient_scale = 1 / LossScale(plan.config.precision);
  observer_.output = [this](const Unit& unit, const Tensor& rows) { Keep(output_, unit, rows, 1); };
  observer_.input_gradient = [this, gradient_scale](const Unit& unit, const Tensor& rows) {
    Keep(input_gradient_, unit, rows, gradient_scale);
  };
  executor.set_observer(&observer_);
}

int64_t Results::HostBytes(const JobPlan& plan) {
  const ModelConfig& model = plan.config.model;
  const int64_t activation = model.seq_len * plan.config.batch_size * model.hidden_size;
  int64_t largest = activation;
  for (const ParameterSpec& parameter : LayerParameters(model)) {
    largest = std::max(largest, parameter.shape.num_elements());
  }
  // Output and input gradient; a tensor, a rank's part of it with a bit an element, and what it is
  // compared with.
  return (2 * activation + 3 * largest) * static_cast<int64_t>(sizeof(double)) +
         (2 * activation + largest) / 8;
}

Results::~Results() { executor_.set_observer(nullptr); }

void Results::Keep(Part& part, const Unit& unit, const Tensor& own_rows, double scale) {
  // Without a split sequence all tensor-parallel ranks hold the same rows.
  part.is_first = plan_.splits_sequence() || executor_.rank().tensor == 0;
  const std::vector<double> values = ReadTensor(device_, own_rows);
  const BatchBlock block = OwnBlock(plan_, executor_.rank(), unit);
  const int64_t row_size = block.num_sequences * plan_.config.model.hidden_size;
  SLUICE_CHECK_EQ(static_cast<int64_t>(values.size()), block.num_positions * row_size);
  for (int64_t i = 0; i < block.num_positions; ++i) {
    const int64_t token =
        (block.position_begin + i) * plan_.config.batch_size + block.sequence_begin;
    const int64_t begin = token * plan_.config.model.hidden_size;
    std::transform(values.begin() + i * row_size, values.begin() + (i + 1) * row_size,
                   part.values.begin() + begin, [scale](double value) { return scale * value; });
    std::fill_n(part.is_held.begin() + begin, row_size, true);
  }
}

bool Results::HoldsFirst(const ParameterSpec& parameter) const {
  const RankCoordinates& rank = executor_.rank();
  return rank.data == 0 && (rank.tensor == 0 || parameter.shard_axis != ShardAxis::kReplicated);
}

Results::Part Results::OwnGradient(int64_t layer, size_t index, const ParameterSpec& parameter) {
  Part part(parameter.shape.num_elements());
  part.is_first = HoldsFirst(parameter);
  const std::vector<int64_t>& layers = executor_.memory().layers();
  if (std::find(layers.begin(), layers.end(), layer) == layers.end()) return part;
  const std::vector<double> values =
      ReadTensor(device_, executor_.memory().WeightGradients(layer)[index]);
  const Block block = ShardBlock(parameter, executor_.tensor_parallel().shard());
  SLUICE_CHECK_EQ(static_cast<int64_t>(values.size()), block.num_elements());
  const int64_t num_columns = WholeBlock(parameter).num_columns;
  const double scale = 1 / LossScale(plan_.config.precision);
  for (int64_t i = 0; i < block.num_rows; ++i) {
    for (int64_t j = 0; j < block.num_columns; ++j) {
      const int64_t element = (block.row_begin + i) * num_columns + block.column_begin + j;
      part.values[static_cast<size_t>(element)] =
          scale * values[static_cast<size_t>(i * block.num_columns + j)];
      part.is_held[static_cast<size_t>(element)] = true;
    }
  }
  return part;
}

// The part of the loss that this rank's data-parallel copy adds up, by copy: alike on
// tensor-parallel ranks that do not split the sequence.
Results::Part Results::OwnLoss() {
  Part part(plan_.config.sizes.data);
  const RankCoordinates& rank = executor_.rank();
  part.is_first = rank.tensor == 0;
  const bool has_last_stage = plan_.schedule.rank_of_stage.back() == rank.pipeline;
  if (!has_last_stage || plan_.splits_sequence()) return part;
  part.values[static_cast<size_t>(rank.data)] =
      ReadTensor(device_, executor_.memory().Loss()).front();
  part.is_held[static_cast<size_t>(rank.data)] = true;
  return part;
}

namespace {

// Whether two numbers are one, or both are NaN.
bool IsSame(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

// The first rank whose difference is not 0.
std::optional<DifferentCopy> FindDifferentCopy(Communicator& world, double own_difference) {
  std::vector<double> differences(static_cast<size_t>(world.world_size()));
  world.AllGather(ConstPayload{&own_difference, 1, DType::kFloat64}, differences.data());
  for (int rank = 0; rank < world.world_size(); ++rank) {
    const double difference = differences[static_cast<size_t>(rank)];
    if (difference != 0) return DifferentCopy{rank, difference};
  }
  return std::nullopt;
}

}  // namespace

void Results::SumAndVisit(Communicator& world, const std::string& name, const Part& part,
                          const ResultVisitor& visit) {
  std::vector<double> whole(part.values.size());
  if (part.is_first) whole = part.values;
  world.AllReduce({whole.data(), std::ssize(whole), DType::kFloat64}, ReduceOp::kSum);
  double squares = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    if (!part.is_held[i] || IsSame(part.values[i], whole[i])) continue;
    const double difference = part.values[i] - whole[i];
    squares += difference * difference;
  }
  visit({name, whole, FindDifferentCopy(world, std::sqrt(squares))});
}

void Results::Visit(Communicator& world, const ResultVisitor& visit) {
  SumAndVisit(world, "output", output_, visit);
  const double loss = executor_.loss();
  SumAndVisit(world, "loss", OwnLoss(), [&](const Result& parts) {
    visit({"loss", std::span(&loss, 1), parts.different_copy});
  });
  if (plan_.config.pass == Pass::kForward) return;
  const std::vector<ParameterSpec> parameters = LayerParameters(plan_.config.model);
  for (int64_t layer = plan_.config.model.num_layers - 1; layer >= 0; --layer) {
    for (size_t i = 0; i < parameters.size(); ++i) {
      SumAndVisit(world, "grad." + ParameterName(layer, parameters[i].name),
                  OwnGradient(layer, i, parameters[i]), visit);
    }
  }
  SumAndVisit(world, "grad.input", input_gradient_, visit);
}

}  // namespace sluice
