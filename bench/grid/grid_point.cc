#include "bench/grid/grid_point.h"

namespace sluice {

JobPlan PlanOf(const GridPoint& point, const GridStack& stack) {
  JobConfig config;
  config.model = {.name = "grid",
                  .num_layers = point.num_layers,
                  .hidden_size = point.hidden_size,
                  .seq_len = point.seq_len,
                  .num_heads = point.hidden_size / stack.head_dim};
  config.batch_size = stack.batch_size;
  config.prefix_len = point.prefix_len;
  config.loss = LossKind::kNone;
  config.seed = stack.seed;
  config.precision = stack.precision;
  config.pass = Pass::kForward;
  return PlanJob(config);
}

}  // namespace sluice
