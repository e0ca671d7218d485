#include "parallel/planner/planner_test_costs.h"

namespace sluice {

UnitCosts LinearTestCosts(const ModelConfig& model, double attention_share) {
  UnitCosts costs = {.conditions = {.device = "cpu",
                                    .device_name = "test",
                                    .dtype = "f32",
                                    .attention = "default",
                                    .kernels = "auto",
                                    .commit = "test",
                                    .tree = "clean",
                                    .date = "2026-01-01T00:00:00Z"},
                     .model = model};
  const auto seq_len = static_cast<double>(model.seq_len);
  const double pair_s = 1e-3 / (seq_len * (seq_len + 1) / 2);
  for (const int tensor : {1, 2, 4}) {
    const auto add = [&](OpKind kind, double seconds, double attention_s) {
      for (int64_t tokens = 1; tokens <= 64 * model.seq_len; tokens *= 2) {
        const double share = static_cast<double>(tokens) / seq_len / tensor;
        costs.linear.push_back({kind, tensor, tokens, {(seconds - attention_s) * share * 1e-3}});
      }
      if (attention_s == 0) return;
      const double pairs = seq_len * (seq_len + 1) / 2;
      costs.attention.push_back(
          {kind, tensor, 1, model.seq_len, 0, {attention_s * pair_s * pairs / tensor}});
    };
    add(OpKind::kForward, 1, attention_share);
    add(OpKind::kBackward, 2, attention_share);
    add(OpKind::kBackwardInput, 1, attention_share);
    add(OpKind::kBackwardWeight, 1, 0);
  }
  return costs;
}

Links FreeTestLinks() {
  return {.within_host = {.name = "free", .latency_s = {1e-15}, .bytes_per_s = {1e30}}};
}

}  // namespace sluice
