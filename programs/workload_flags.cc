#include "programs/workload_flags.h"

#include <limits>
#include <string>
#include <vector>

#include "core/cli/flags.h"

namespace sluice {
namespace {

constexpr int64_t kMaxExtent = 1 << 30;

std::vector<std::string> ModelNames() {
  std::vector<std::string> names;
  for (const ModelConfig& model : NamedModels()) names.push_back(model.name);
  return names;
}

std::vector<std::string> PrecisionNames() {
  std::vector<std::string> names;
  for (const Precision precision : {Precision::kFloat64, Precision::kFloat32, Precision::kTf32,
                                    Precision::kBFloat16, Precision::kFloat16}) {
    names.emplace_back(Name(precision));
  }
  return names;
}

std::vector<std::string> GradDTypeNames() {
  std::vector<std::string> names;
  for (const DType dtype : {DType::kFloat64, DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    names.emplace_back(Name(dtype));
  }
  return names;
}

}  // namespace
}  // namespace sluice

SLUICE_CHOICE_FLAG(model, "test", sluice::ModelNames(), "the named model");
SLUICE_OPTIONAL_INT_FLAG(num_layers, 1, sluice::kMaxExtent, "layers; default: the model's");
SLUICE_OPTIONAL_INT_FLAG(hidden_size, 1, sluice::kMaxExtent,
                         "features of a token; default: the model's");
SLUICE_OPTIONAL_INT_FLAG(seq_len, 1, sluice::kMaxExtent,
                         "positions of a sequence; default: the model's");
SLUICE_OPTIONAL_INT_FLAG(num_heads, 1, sluice::kMaxExtent, "attention heads; default: the model's");
SLUICE_INT_FLAG(batch_size, 1, 1, sluice::kMaxExtent, "sequences of the whole batch");
SLUICE_CHOICE_FLAG(loss, "mean", sluice::LossNames(),
                   "mean of the output, or its product with a fixed random tensor");
SLUICE_INT_FLAG(seed, 0, 0, std::numeric_limits<int64_t>::max(), "of all initial values");
SLUICE_CHOICE_FLAG(dtype, "", sluice::PrecisionNames(),
                   "what is computed in; without it f32, but f64 where a reference is saved");
SLUICE_CHOICE_FLAG(grad_dtype, "", sluice::GradDTypeNames(),
                   "what gradients of the linear layers' weights and biases are kept in; default: "
                   "f32, but f64 with --dtype=f64");

namespace sluice {

Workload WorkloadFromFlags(Precision default_precision) {
  return WorkloadFromFlags(Workload{.model = FindModel(FLAGS_model),
                                    .batch_size = FLAGS_batch_size,
                                    .loss = ParseLoss(FLAGS_loss),
                                    .seed = static_cast<uint64_t>(FLAGS_seed),
                                    .precision = default_precision});
}

Workload WorkloadFromFlags(const Workload& base) {
  Workload workload = base;
  if (WasGiven("model")) workload.model = FindModel(FLAGS_model);
  if (WasGiven("batch_size")) workload.batch_size = FLAGS_batch_size;
  if (WasGiven("loss")) workload.loss = ParseLoss(FLAGS_loss);
  if (WasGiven("seed")) workload.seed = static_cast<uint64_t>(FLAGS_seed);
  if (WasGiven("dtype")) workload.precision = ParsePrecision(FLAGS_dtype);
  if (WasGiven("grad_dtype")) {
    workload.grad_dtype = ParseGradDType(FLAGS_grad_dtype, workload.precision);
  }
  ModelConfig& model = workload.model;
  if (WasGiven("num_layers")) model.num_layers = FLAGS_num_layers;
  if (WasGiven("hidden_size")) model.hidden_size = FLAGS_hidden_size;
  if (WasGiven("seq_len")) model.seq_len = FLAGS_seq_len;
  if (WasGiven("num_heads")) model.num_heads = FLAGS_num_heads;
  Validate(model);
  return workload;
}

}  // namespace sluice
