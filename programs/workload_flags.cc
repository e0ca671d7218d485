#include "programs/workload_flags.h"

#include "programs/shared_flags.h"

SLUICE_FLAG_GROUP("Model and workload");
SLUICE_MODEL_FLAG("named model");
SLUICE_OPTIONAL_INT_FLAG(num_layers, 1, sluice::kMaxExtent,
                         "number of layers; default: the model's");
SLUICE_OPTIONAL_INT_FLAG(hidden_size, 1, sluice::kMaxExtent,
                         "features of each token; default: the model's");
SLUICE_OPTIONAL_INT_FLAG(seq_len, 1, sluice::kMaxExtent,
                         "tokens in each sequence; default: the model's");
SLUICE_OPTIONAL_INT_FLAG(num_heads, 1, sluice::kMaxExtent,
                         "number of attention heads; default: the model's");
SLUICE_BATCH_SIZE_FLAG();
SLUICE_CHOICE_FLAG(loss, "mean", sluice::LossNames(),
                   "loss: the mean of the output, or its dot product with a fixed random tensor, "
                   "the projection, divided by its size");
SLUICE_SEED_FLAG();
SLUICE_DTYPE_FLAG("", "; default: f32, but f64 for save_reference");
SLUICE_CHOICE_FLAG(grad_dtype, "", sluice::GradDTypeNames(),
                   "type of the gradients of the linear layers' weights and biases; default: f32, "
                   "but f64 with --dtype=f64");

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
