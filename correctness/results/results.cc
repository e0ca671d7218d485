#include "correctness/results/results.h"

#include <algorithm>

#include "core/base/check.h"
#include "parallel/exec/initialize.h"

namespace sluice {

Results::Results(const JobPlan& plan, Device& device, Executor& executor)
    : plan_(plan), device_(device), executor_(executor) {
  const ModelConfig& model = plan.config.model;
  const auto size = static_cast<size_t>(model.seq_len * plan.config.batch_size * model.hidden_size);
  output_.resize(size);
  input_gradient_.resize(size);
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
  // Output and input gradient; a tensor, a rank's part of it, and what it is compared with.
  return (2 * activation + 3 * largest) * static_cast<int64_t>(sizeof(double));
}

Results::~Results() { executor_.set_observer(nullptr); }

void Results::Keep(std::vector<double>& whole, const Unit& unit, const Tensor& own_rows,
                   double scale) {
  // Without a split sequence all tensor-parallel ranks have the same rows.
  if (!plan_.splits_sequence() && executor_.rank().tensor != 0) return;
  const std::vector<double> values = ReadTensor(device_, own_rows);
  const BatchBlock block = OwnBlock(plan_, executor_.rank(), unit);
  const int64_t row_size = block.num_sequences * plan_.config.model.hidden_size;
  SLUICE_CHECK_EQ(static_cast<int64_t>(values.size()), block.num_positions * row_size);
  for (int64_t i = 0; i < block.num_positions; ++i) {
    const int64_t token =
        (block.position_begin + i) * plan_.config.batch_size + block.sequence_begin;
    std::transform(values.begin() + i * row_size, values.begin() + (i + 1) * row_size,
                   whole.begin() + token * plan_.config.model.hidden_size,
                   [scale](double value) { return scale * value; });
  }
}

bool Results::Contributes(const ParameterSpec& parameter) const {
  const RankCoordinates& rank = executor_.rank();
  return rank.data == 0 && (rank.tensor == 0 || parameter.shard_axis != ShardAxis::kReplicated);
}

std::vector<double> Results::OwnGradient(int64_t layer, size_t index,
                                         const ParameterSpec& parameter) {
  std::vector<double> whole(static_cast<size_t>(parameter.shape.num_elements()));
  const std::vector<int64_t>& layers = executor_.memory().layers();
  const bool is_here = std::find(layers.begin(), layers.end(), layer) != layers.end();
  if (!is_here || !Contributes(parameter)) return whole;
  const std::vector<double> values =
      ReadTensor(device_, executor_.memory().WeightGradients(layer)[index]);
  const Block block = ShardBlock(parameter, executor_.tensor_parallel().shard());
  SLUICE_CHECK_EQ(static_cast<int64_t>(values.size()), block.num_elements());
  const int64_t num_columns = WholeBlock(parameter).num_columns;
  const double scale = 1 / LossScale(plan_.config.precision);
  for (int64_t i = 0; i < block.num_rows; ++i) {
    for (int64_t j = 0; j < block.num_columns; ++j) {
      whole[static_cast<size_t>((block.row_begin + i) * num_columns + block.column_begin + j)] =
          scale * values[static_cast<size_t>(i * block.num_columns + j)];
    }
  }
  return whole;
}

void Results::Visit(Communicator& world, const ResultVisitor& visit) {
  const auto sum_and_visit = [&](const std::string& name, std::vector<double> values) {
    world.AllReduce({values.data(), static_cast<int64_t>(values.size()), DType::kFloat64},
                    ReduceOp::kSum);
    visit(name, values);
  };
  sum_and_visit("output", output_);
  const double loss = executor_.loss();
  visit("loss", std::span(&loss, 1));
  if (plan_.config.pass == Pass::kForward) return;
  const std::vector<ParameterSpec> parameters = LayerParameters(plan_.config.model);
  for (int64_t layer = plan_.config.model.num_layers - 1; layer >= 0; --layer) {
    for (size_t i = 0; i < parameters.size(); ++i) {
      sum_and_visit("grad." + ParameterName(layer, parameters[i].name),
                    OwnGradient(layer, i, parameters[i]));
    }
  }
  sum_and_visit("grad.input", input_gradient_);
}

}  // namespace sluice
