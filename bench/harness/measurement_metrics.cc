#include "bench/harness/measurement_metrics.h"

#include <fmt/format.h>

#include <array>
#include <optional>

#include "bench/harness/condition_metrics.h"
#include "core/base/checked_math.h"

namespace sluice {
namespace {

using M = Measurement;
using R = RankUse;
using Value = std::optional<double>;

std::string Milliseconds(double ms) { return fmt::format("{:.3f}", ms); }
std::string Percent(double share) { return fmt::format("{:.1f} %", 100 * share); }
std::string Integer(double value) { return fmt::format("{:.0f}", value); }
std::string Gigas(double value) { return fmt::format("{:.1f}", value * 1e-9); }
std::string Bytes(double bytes) { return FormatBytes(static_cast<int64_t>(bytes)); }

Value Count(int64_t value) { return static_cast<double>(value); }

template <typename Function>
Value Max(const M& m, const Function& value) {
  return Count(m.MaxOfRanks(value));
}

template <typename Function>
Value Sum(const M& m, const Function& value) {
  return Count(m.SumOfRanks(value));
}

// `value` of the op times, which are absent if they were not recorded or mean nothing.
template <typename Function>
Value OfOpTimes(const M& m, const Function& value) {
  const OpTimesSummary* times = m.usable_op_times();
  if (times == nullptr) return std::nullopt;
  return value(*times);
}

Value SlowestMs(const M& m, RankTime OpTimesSummary::*time) {
  return OfOpTimes(m, [&](const OpTimesSummary& times) { return (times.*time).max_s * 1e3; });
}

Value MeanMs(const M& m, RankTime OpTimesSummary::*time) {
  return OfOpTimes(m, [&](const OpTimesSummary& times) { return (times.*time).mean_s * 1e3; });
}

Value ShareOf(const M& m, const Value& ceiling) {
  if (!ceiling) return std::nullopt;
  return m.flops_per_s_per_rank() / *ceiling;
}

constexpr auto kMetrics = std::to_array<Metric<M>>({
    {"median_ms", "ms", [](const M& m) -> Value { return m.median_s * 1e3; },
     "median of the timed passes", "ms median", 12, Milliseconds},
    {"min_ms", "ms", [](const M& m) -> Value { return m.min_s * 1e3; },
     "minimum of the timed passes", "ms min", 12, Milliseconds},
    {"max_ms", "ms", [](const M& m) -> Value { return m.max_s * 1e3; },
     "maximum of the timed passes"},
    {"", "1", [](const M& m) -> Value { return (m.max_s - m.min_s) / m.median_s; },
     "(`max_ms` - `min_ms`) / `median_ms`", "spread", 7, Percent},
    {"warmup_passes_s", "s", [](const M& m) -> Value { return m.warmup_s; },
     "sum, over the passes directly before the timed ones, of the slowest rank's time; the line is "
     "printed on CUDA only",
     "after ... s of warm-up"},
    {"tokens_per_s", "1 / s", [](const M& m) -> Value { return m.tokens / m.median_s; },
     "T B / median, T and B of the whole batch", "tokens/s", 10, Integer},
    {"flops_per_s_per_rank", "operations / s",
     [](const M& m) -> Value { return m.flops_per_s_per_rank(); },
     "operations of the whole stack and batch, above, / median / world_size", "GFLOP/s/rank", 12,
     Gigas},
    {"matmul_flops_per_s_per_rank", "operations / s",
     [](const M& m) -> Value { return m.matmul_flops_per_s; },
     "the peak ceiling. On the CPU, 2 E^3 / fastest of 10 rounds, after the passes; in each round "
     "every rank makes the product of LinearForward, as for kernels, once on its own threads, and "
     "a round lasts from one barrier to the next, so that all ranks together never exceed the "
     "machine. On CUDA, 2 E^3 / fastest of 10 runs on each GPU, on all GPUs at the same time; the "
     "mean over ranks. They run after those of the sustained ceiling (below), with a pause of 50 "
     "ms before each, and a rank takes the fastest of both"},
    {"share_of_matmul_rate", "1",
     [](const M& m) -> Value { return ShareOf(m, m.matmul_flops_per_s); },
     "`flops_per_s_per_rank` / `matmul_flops_per_s_per_rank`", "of peak", 7, Percent},
    {"simulated_ms", "ms",
     [](const M& m) {
       return OfOpTimes(m, [](const OpTimesSummary& times) { return times.simulated_s * 1e3; });
     },
     "makespan of the schedule if each compute op takes the median of its own time over the "
     "recorded passes and every transfer takes none; sums over data-parallel ranks, which follow "
     "the last op, are not included",
     "simulated\nms", 12, Milliseconds},
    {"simulated_bubble_fraction", "1",
     [](const M& m) {
       return OfOpTimes(m, [](const OpTimesSummary& t) { return t.simulated_bubble_fraction; });
     },
     "the [bubble](#bubble) of that simulation", "bubble\nsimul.", 8, Percent},
    {"measured_bubble_fraction", "1",
     [](const M& m) {
       return OfOpTimes(m, [](const OpTimesSummary& t) { return t.measured_bubble_fraction; });
     },
     "the [bubble](#bubble) of one recorded pass: the one with the median time (of an even number, "
     "the lower of the two in the middle)",
     "bubble\nmeasured", 8, Percent},
    {"max_exposed_communication_ms", "ms",
     [](const M& m) { return SlowestMs(m, &OpTimesSummary::exposed_communication); },
     "time in which a rank's compute stream (on the CPU, its thread) waits for a message between "
     "stages, in that same pass; of the rank with the most. On the CPU it includes starting "
     "messages and copying their bytes",
     "exposed\ncomm. ms", 10, Milliseconds},
    {"mean_exposed_communication_ms", "ms",
     [](const M& m) { return MeanMs(m, &OpTimesSummary::exposed_communication); },
     "the same, the mean over ranks"},
    {"max_simulated_wait_ms", "ms",
     [](const M& m) { return SlowestMs(m, &OpTimesSummary::simulated_wait); },
     "end of a pipeline rank's last compute op - its time in compute ops, in the simulation: the "
     "part of exposed communication that the order of ops alone explains; of the rank with the "
     "most"},
    {"mean_simulated_wait_ms", "ms",
     [](const M& m) { return MeanMs(m, &OpTimesSummary::simulated_wait); },
     "the same, the mean over ranks"},
    {"max_tensor_collectives_ms", "ms",
     [](const M& m) { return SlowestMs(m, &OpTimesSummary::tensor_collectives); },
     "time in the collectives of a tensor-parallel group, including the wait for its other ranks, "
     "in that same pass; of the rank with the most. Collectives inside compute ops are part of "
     "these ops",
     "in collectives of tensor-parallel ranks"},
    {"mean_tensor_collectives_ms", "ms",
     [](const M& m) { return MeanMs(m, &OpTimesSummary::tensor_collectives); },
     "the same, the mean over ranks", "in collectives of tensor-parallel ranks"},
    {"max_data_collectives_ms", "ms",
     [](const M& m) { return SlowestMs(m, &OpTimesSummary::data_collectives); },
     "time in the sums of weight gradients over data-parallel ranks, likewise; no compute op "
     "contains them",
     "in collectives of data-parallel ranks"},
    {"mean_data_collectives_ms", "ms",
     [](const M& m) { return MeanMs(m, &OpTimesSummary::data_collectives); },
     "the same, the mean over ranks", "in collectives of data-parallel ranks"},
    {"exposed_communication_share", "1",
     [](const M& m) {
       return OfOpTimes(m, [](const OpTimesSummary& times) { return times.exposed_fraction; });
     },
     "share of that same pass in which a rank's compute stream waits for a message or is in a "
     "collective, the sum of the three times above; of the rank with the most"},
    {"recorded_pass_ms", "ms",
     [](const M& m) {
       return OfOpTimes(m, [](const OpTimesSummary& times) { return times.recorded_pass_s * 1e3; });
     },
     "median time of the recorded passes: on the CPU `median_ms`, on CUDA the time of a pass that "
     "contains timestamps"},
    {"num_op_timestamps", "1", [](const M& m) { return Count(m.num_timestamps); },
     "timestamps of a pass on the rank with the most"},
    {"simulated_activation_bytes", "bytes",
     [](const M& m) { return Max(m, &R::simulated_activation_bytes); },
     "the largest sum, over the units of a rank between their forward and the end of their "
     "backward, of [what a unit keeps](#what-a-unit-keeps) (in a forward alone, until the end of "
     "its micro-batch's last slice), plus the permanent activations below; the rank with the most"},
    {"peak_activation_bytes", "bytes",
     [](const M& m) { return Max(m, [](const R& r) { return r.bytes.activations; }); },
     "what the rank allocated for activations: what units keep, keys and values, and messages in "
     "flight, laid out by the order of its ops; the rank with the most. It can be less than the "
     "simulated value, because the layout frees the output of a unit whose weight gradients are "
     "still to come",
     "activations\npeak", 11, Bytes},
    {"peak_activation_gradient_bytes", "bytes",
     [](const M& m) { return Max(m, [](const R& r) { return r.bytes.activation_gradients; }); },
     "what the rank allocated for gradients between ops: of a unit's output and input, and what an "
     "input gradient leaves for the weight gradients that follow it; the rank with the most"},
    {"predicted_bytes", "bytes", [](const M& m) { return Count(m.predicted_bytes); },
     "what all ranks together will allocate, computed before any of it is: weights, gradients (of "
     "weights, and of activations between ops), activations (with the model's input), workspaces "
     "(of layers and kernels); printed part by part, on CUDA next to the prediction for a GPU",
     "memory of ..."},
    {"predicted_resident_bytes", "bytes",
     [](const M& m) { return Count(m.predicted_peak_bytes + m.program_bytes); },
     "`program_bytes` + the larger of `predicted_bytes` and the memory of the ceiling's products "
     "on all ranks, which run after these are freed: the prediction for `peak_resident_bytes`",
     "memory of ..."},
    {"allocated_bytes", "bytes",
     [](const M& m) { return Sum(m, &R::allocated_bytes); },
     "what the ranks' devices had allocated while passes were timed, all ranks"},
    {"rank_bytes", "bytes",
     [](const M& m) { return Max(m, &R::allocated_bytes); },
     "the same, the rank with the most"},
    {"peak_resident_bytes", "bytes", [](const M& m) { return Count(m.peak_resident_bytes); },
     "the most memory that the job's processes ever held, by the operating system: each process's "
     "own peak, summed over ranks that are processes"},
    {"empty_pass_ms", "ms",
     [](const M& m) { return m.empty_pass_s ? Value(*m.empty_pass_s * 1e3) : std::nullopt; },
     "the median over n_steps passes whose kernels do nothing, timed like passes: the time that "
     "the executor and the layers spend around kernels, and communication that waits only for "
     "itself; not on CUDA"},
    {"empty_pass_share", "1",
     [](const M& m) { return m.empty_pass_s ? Value(*m.empty_pass_s / m.median_s) : std::nullopt; },
     "`empty_pass_ms` / `median_ms`; with one rank, the executor's own share of the pass"},
    {"sent_bytes", "bytes",
     [](const M& m) {
       return Sum(m, [](const R& r) { return r.traffic.sends.bytes; });
     },
     "payload of sends between stages in a pass, all ranks; sums over tensor-parallel and "
     "data-parallel groups are not included"},
    {"num_sends", "1",
     [](const M& m) {
       return Sum(m, [](const R& r) { return r.traffic.sends.count; });
     },
     "these sends"},
    {"num_tensor_collectives", "1",
     [](const M& m) {
       return Max(m, [](const R& r) { return r.traffic.tensor_collectives.count; });
     },
     "collectives of a tensor-parallel group in a pass, as one rank calls them; the rank with the "
     "most"},
    {"tensor_collective_bytes", "bytes",
     [](const M& m) {
       return Max(m, [](const R& r) { return r.traffic.tensor_collectives.bytes; });
     },
     "their payload: of an all-reduce the tensor, of a reduce-scatter its input, of an all-gather "
     "its result. A rank's link carries the [bus factor](#numbers-of-benchcomm) times as much"},
    {"num_data_collectives", "1",
     [](const M& m) {
       return Max(m, [](const R& r) { return r.traffic.data_collectives.count; });
     },
     "sums of weight gradients over a data-parallel group in a pass, likewise"},
    {"data_collective_bytes", "bytes",
     [](const M& m) {
       return Max(m, [](const R& r) { return r.traffic.data_collectives.bytes; });
     },
     "their payload, likewise"},
    {"timed_allocations", "1", [](const M& m) { return Count(m.num_allocations); },
     "allocations by the ranks' devices during the timed passes: 0"},
    {"loss", "1", [](const M& m) -> Value { return m.loss; }, "of the pass, over the whole batch"},
    {"num_threads_that_share_cores", "1",
     [](const M& m) {
       return m.core_shortage ? Count(m.core_shortage->num_threads) : std::nullopt;
     },
     "CPU only, if the ranks of a host have more threads than cores: the threads of the host, or "
     "of the control group, with the largest shortage",
     "no op times: ..."},
    {"num_shared_cores", "1",
     [](const M& m) { return m.core_shortage ? Value(m.core_shortage->num_cores) : std::nullopt; },
     "the cores that these threads share", "no op times: ..."},
    {"sustained_matmul_flops_per_s_per_rank", "operations / s",
     [](const M& m) -> Value { return m.sustained_matmul_flops_per_s; },
     "CUDA only, the sustained ceiling: 2 E^3 / median of the peak ceiling's product, run back to "
     "back after the passes for as long as all passes took, but for at most half a second and 2000 "
     "products and at least ten products, directly after `--warmup_s` seconds of the same; the "
     "mean over ranks",
     "of products for as long"},
    {"share_of_sustained_matmul_rate", "1",
     [](const M& m) -> Value { return ShareOf(m, m.sustained_matmul_flops_per_s); },
     "`flops_per_s_per_rank` / `sustained_matmul_flops_per_s_per_rank`",
     "of products for as long"},
    {"predicted_device_bytes", "bytes",
     [](const M& m) {
       return m.peak_device_bytes > 0 ? Count(m.predicted_device_bytes) : std::nullopt;
     },
     "CUDA only; of the rank with the most, computed before it allocates: the driver's context and "
     "the kernels (measured at that time: what the process holds without having allocated "
     "anything) + the larger of what the executor and what the ceiling's products allocate, which "
     "do not exist at the same time",
     "memory of a GPU"},
    {"peak_device_bytes", "bytes",
     [](const M& m) { return m.peak_device_bytes > 0 ? Count(m.peak_device_bytes) : std::nullopt; },
     "CUDA only: the most that was allocated at once + what context and kernels took after the "
     "passes",
     "memory of the GPU"},
});

}  // namespace

std::span<const Metric<Measurement>> MeasurementMetrics() { return kMetrics; }

std::map<std::string, double> Counters(const Measurement& m) {
  std::map<std::string, double> counters;
  AddCounters(MeasurementMetrics(), m, &counters);
  for (const auto& [part, part_s] : m.part_s) counters["part_" + part + "_s"] = part_s;
  if (m.sustained_matmul_conditions) {
    AddConditions("sustained_matmul_", *m.sustained_matmul_conditions, &counters);
  }
  return counters;
}

}  // namespace sluice
