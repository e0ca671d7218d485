#include "bench/harness/measure.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <utility>

#include "bench/harness/calibration.h"
#include "bench/harness/ceiling.h"
#include "bench/harness/counted.h"
#include "bench/harness/cpu_time.h"
#include "bench/harness/empty_kernels.h"
#include "bench/harness/flops.h"
#include "bench/harness/median.h"
#include "bench/harness/resident_memory.h"
#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/tensor/all_finite.h"
#include "parallel/comm/rank_status.h"
#include "parallel/exec/check_memory.h"
#include "parallel/exec/executor.h"
#include "parallel/exec/rank_memory.h"
#include "parallel/schedule/simulate.h"

namespace sluice {
namespace {

// Enough for a GPU to be held down by its power limit, if it will be.
constexpr double kMaxSustainedS = 0.5;

constexpr int64_t kMaxSteps = 1'000'000;

// The pass's operations: what the whole model needs for the whole batch.
double PassFlops(const JobPlan& plan) {
  const JobConfig& config = plan.config;
  return static_cast<double>(config.pass == Pass::kStep
                                 ? StepFlops(config.model, config.batch_size, config.prefix_len)
                                 : ForwardFlops(config.model, config.batch_size,
                                                {config.prefix_len, config.model.seq_len}));
}

// Of a tensor in the device's memory, as much at a time as stays in a cache: the system clears
// pages for larger blocks anew each time.
bool AllFinite(Device& device, const Tensor& tensor) {
  constexpr int64_t kBlockElements = 1 << 20;
  std::vector<char> bytes;
  for (int64_t begin = 0; begin < tensor.num_elements(); begin += kBlockElements) {
    const int64_t count = std::min(kBlockElements, tensor.num_elements() - begin);
    bytes.resize(static_cast<size_t>(count * SizeOf(tensor.dtype())));
    device.CopyToHost(bytes.data(),
                      static_cast<const char*>(tensor.data()) + begin * SizeOf(tensor.dtype()),
                      std::ssize(bytes));
    if (!AllFinite(Tensor(bytes.data(), tensor.dtype(), {count}))) return false;
  }
  return true;
}

// Throws unless the loss and every gradient of this rank's weights are finite.
void CheckFinite(const JobPlan& plan, Executor& executor, Device& device, double loss) {
  const auto refuse = [&](const std::string& what) {
    throw Error(fmt::format("rank {}: {} is not finite; nothing was timed", CurrentRank(), what));
  };
  if (!std::isfinite(loss)) refuse("the loss");
  if (plan.config.pass == Pass::kForward) return;
  const std::vector<ParameterSpec> specs = LayerParameters(plan.config.model);
  for (const int64_t layer : executor.memory().layers()) {
    for (size_t i = 0; i < specs.size(); ++i) {
      if (AllFinite(device, executor.memory().WeightGradients(layer)[i])) continue;
      refuse("the gradient of " + ParameterName(layer, specs[i].name));
    }
  }
}

// Says what is being done, and for how long it was.
class PartClock {
 public:
  explicit PartClock(std::function<void(std::string_view part)> on_part)
      : on_part_(std::move(on_part)) {}

  void Begin(const std::string& part) {
    End();
    part_ = part;
    begin_ns_ = MonotonicNs();
    if (on_part_) on_part_(part);
  }

  void End() {
    if (!part_.empty()) part_s_[part_] += static_cast<double>(MonotonicNs() - begin_ns_) * 1e-9;
    part_.clear();
  }

  const std::map<std::string, double>& part_s() const { return part_s_; }

 private:
  std::function<void(std::string_view part)> on_part_;
  std::string part_;
  int64_t begin_ns_ = 0;
  std::map<std::string, double> part_s_;
};

// What one rank learns of its timed passes.
struct RankTimes {
  std::vector<double> warmup_s;  // of the passes before, maximum over ranks
  std::vector<double> step_s;
  std::vector<double> step_cpu_s;
  std::vector<double> calibration_cpu_s;  // on the cpu
  std::vector<std::vector<double>> op_s;  // [ops][n_steps]
  std::optional<DeviceConditions> conditions;
};

std::vector<double> MaxOverRanks(Communicator& world, std::vector<double> values) {
  world.AllReduce({values.data(), static_cast<int64_t>(values.size()), DType::kFloat64},
                  ReduceOp::kMax);
  return values;
}

double Sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// The times of the passes that come before the timed ones.  All ranks make as many.
std::vector<double> WarmUp(Executor& executor, Communicator& world, const MeasureOptions& options) {
  std::vector<double> pass_s;
  double total_s = 0;
  while (std::ssize(pass_s) < options.num_warmup_steps || total_s < options.warmup_s) {
    const int64_t begin_ns = MonotonicNs();
    executor.RunStep();
    const double own_s = static_cast<double>(MonotonicNs() - begin_ns) * 1e-9;
    pass_s.push_back(MaxOverRanks(world, {own_s}).front());
    total_s += pass_s.back();
  }
  return pass_s;
}

// How many passes to time, by how long the last ones before them took.
size_t NumSteps(const std::vector<double>& warmup_s, const MeasureOptions& options) {
  constexpr int64_t kNumLast = 10;
  const auto num_last = std::min(kNumLast, std::ssize(warmup_s));
  const double pass_s = Median({warmup_s.end() - num_last, warmup_s.end()});
  const double enough = std::ceil(options.timed_s / pass_s);
  return static_cast<size_t>(
      std::clamp(enough, static_cast<double>(options.n_steps), static_cast<double>(kMaxSteps)));
}

RankTimes TimeSteps(Executor& executor, Backend& backend, Communicator& world,
                    const MeasureOptions& options, PartClock& clock) {
  Calibration calibration;
  const bool is_calibrated = backend.device->kind() == DeviceKind::kCpu;
  const std::unique_ptr<StreamTimer> timer = backend.stream->MakeTimer();
  const std::unique_ptr<DeviceMonitor> monitor = backend.device->MakeMonitor();
  RankTimes times;
  clock.Begin("warm_up");
  times.warmup_s = WarmUp(executor, world, options);
  const size_t n_steps = NumSteps(times.warmup_s, options);
  times.step_s.resize(n_steps);
  times.step_cpu_s.resize(n_steps);
  times.op_s.assign(executor.ops().size(), std::vector<double>(n_steps));
  clock.Begin("timed_passes");
  if (monitor != nullptr) monitor->Start();
  for (size_t step = 0; step < times.step_s.size(); ++step) {
    if (is_calibrated) times.calibration_cpu_s.push_back(calibration.CpuSeconds());
    world.Barrier();
    const double begin_cpu_s = ProcessCpuSeconds();
    timer->Begin();
    RunCounted([&] { executor.EnqueueStep(); });
    timer->End();
    executor.FinishStep();
    times.step_s[step] = static_cast<double>(timer->ElapsedNs()) * 1e-9;
    world.Barrier();  // the CPU time of a process is that of all its ranks: each must be done
    times.step_cpu_s[step] = ProcessCpuSeconds() - begin_cpu_s;
    for (size_t op = 0; op < times.op_s.size(); ++op) {
      const OpRecord& record = executor.records()[op];
      times.op_s[op][step] = static_cast<double>(record.end_ns - record.begin_ns) * 1e-9;
    }
  }
  if (monitor != nullptr) times.conditions = monitor->Stop();
  return times;
}

// The executor uses the kernels that the backend has.
double MeasureEmptyPass(Executor& executor, Backend& backend, Communicator& world,
                        int64_t n_steps) {
  std::unique_ptr<Kernels> kernels =
      std::exchange(backend.kernels, std::make_unique<EmptyKernels>());
  std::vector<double> step_s;
  for (int64_t step = 0; step < n_steps; ++step) {
    world.Barrier();
    const int64_t begin_ns = MonotonicNs();
    executor.RunStep();
    step_s.push_back(static_cast<double>(MonotonicNs() - begin_ns) * 1e-9);
  }
  backend.kernels = std::move(kernels);
  return Median(MaxOverRanks(world, step_s));
}

double SumOverRanks(Communicator& world, double value) {
  world.AllReduce({&value, 1, DType::kFloat64}, ReduceOp::kSum);
  return value;
}

std::vector<double> MeanOverRanks(Communicator& world, std::vector<double> values) {
  if (values.empty()) return values;
  world.AllReduce({values.data(), static_cast<int64_t>(values.size()), DType::kFloat64},
                  ReduceOp::kSum);
  for (double& value : values) value /= world.world_size();
  return values;
}

int64_t SumOverRanks(Communicator& world, int64_t value) {
  world.AllReduce({&value, 1, ControlType::kInt64}, ReduceOp::kSum);
  return value;
}

int64_t MaxOverRanks(Communicator& world, int64_t value) {
  world.AllReduce({&value, 1, ControlType::kInt64}, ReduceOp::kMax);
  return value;
}

// Median durations of the ops of all pipeline ranks, [ranks][ops], from the ranks with tensor and
// data coordinate 0.
std::vector<std::vector<double>> GatherOpMedians(const JobPlan& plan, Communicator& world,
                                                 const RankTimes& times) {
  size_t most_ops = 0;
  for (const std::vector<Op>& ops : plan.schedule.ops_of_rank)
    most_ops = std::max(most_ops, ops.size());
  std::vector<double> own(most_ops);
  for (size_t op = 0; op < times.op_s.size(); ++op) own[op] = Median(times.op_s[op]);
  std::vector<double> all(most_ops * static_cast<size_t>(world.world_size()));
  world.AllGather(ConstPayload{own.data(), static_cast<int64_t>(most_ops), DType::kFloat64},
                  all.data());
  std::vector<std::vector<double>> medians;
  for (int pipeline = 0; pipeline < plan.config.sizes.pipeline; ++pipeline) {
    const int rank = RankOf({.pipeline = pipeline}, plan.config.sizes);
    const auto begin = all.begin() + static_cast<int64_t>(most_ops) * rank;
    medians.emplace_back(begin, begin + static_cast<int64_t>(most_ops));
  }
  return medians;
}

Simulation SimulateMeasured(const JobPlan& plan,
                            const std::vector<std::vector<double>>& op_medians_s) {
  std::array<std::vector<double>, 4> compute_s;  // by kind, then unit
  for (std::vector<double>& of_units : compute_s) {
    of_units.resize(static_cast<size_t>(NumUnits(plan.schedule)));
  }
  const auto cost_of = [&](const Op& op) -> double& {
    return compute_s[static_cast<size_t>(op.kind)]
                    [static_cast<size_t>(UnitIndex(plan.schedule, op.unit))];
  };
  for (size_t rank = 0; rank < plan.schedule.ops_of_rank.size(); ++rank) {
    const std::vector<Op>& ops = plan.schedule.ops_of_rank[rank];
    for (size_t i = 0; i < ops.size(); ++i) {
      if (IsCompute(ops[i].kind)) cost_of(ops[i]) = op_medians_s[rank][i];
    }
  }
  return Simulate(plan.schedule, {.compute_s = cost_of});
}

// Of one pass: the share of all ranks' time in which no compute op ran.  Both come from the same
// pass, so that a rank is never busy for longer than the pass took.
double MeasuredBubbleFraction(const Executor& executor, Communicator& world, const RankTimes& times,
                              double pass_s, size_t pass) {
  double busy_s = 0;
  for (size_t op = 0; op < times.op_s.size(); ++op) {
    if (IsCompute(executor.ops()[op].kind)) busy_s += times.op_s[op][pass];
  }
  return 1 - SumOverRanks(world, busy_s) / (world.world_size() * pass_s);
}

// Simulated, by rank 0 alone, and measured, side by side.
Prediction ComparePrediction(const JobPlan& plan, const Executor& executor, Communicator& world,
                             const RankTimes& times, const std::vector<double>& step_s) {
  const std::vector<std::vector<double>> medians = GatherOpMedians(plan, world, times);
  Simulation simulation;
  if (world.rank() == 0) simulation = SimulateMeasured(plan, medians);
  const size_t median_pass = MedianIndex(step_s);
  return {.simulated_s = simulation.makespan_s,
          .simulated_bubble_fraction = simulation.bubble_fraction,
          .measured_bubble_fraction =
              MeasuredBubbleFraction(executor, world, times, step_s[median_pass], median_pass)};
}

// The most activation bytes of this rank, by the order of its ops alone.
int64_t SimulatedActivationBytes(const JobPlan& plan, const Executor& executor) {
  return PeakActivationBytes(plan.schedule, executor.rank().pipeline, [&](const Unit& unit) {
    return executor.memory().UnitActivationBytes(unit);
  });
}

void AddMemory(const JobPlan& plan, const Executor& executor, const Device& device,
               Communicator& world, Measurement* m) {
  m->simulated_activation_bytes = MaxOverRanks(world, SimulatedActivationBytes(plan, executor));
  m->activation_bytes = MaxOverRanks(world, executor.memory().bytes().activations);
  m->allocated_bytes = SumOverRanks(world, device.allocated_bytes());
  m->rank_bytes = MaxOverRanks(world, device.allocated_bytes());
}

// All that is measured while there is an executor.
void MeasurePasses(const JobPlan& plan, const MeasureOptions& options,
                   const RankEnvironment& environment, PartClock& clock, Measurement* measurement) {
  Communicator& world = environment.world;
  Backend& backend = environment.backend;
  Measurement& m = *measurement;
  clock.Begin("initial_values");
  Executor executor(plan, backend, environment.device_world);
  clock.Begin("first_pass");
  executor.RunStep();
  if (executor.can_capture()) executor.Capture();
  clock.Begin("check");
  m.loss = executor.loss();
  CheckFinite(plan, executor, *backend.device, m.loss);

  const int64_t allocations_before = backend.device->num_allocations();
  const RankTimes times = TimeSteps(executor, backend, world, options, clock);
  const int64_t num_allocations = backend.device->num_allocations() - allocations_before;

  m.warmup_s = Sum(times.warmup_s);
  m.step_s = MaxOverRanks(world, times.step_s);
  m.step_cpu_s = times.step_cpu_s;
  m.calibration_cpu_s = MeanOverRanks(world, times.calibration_cpu_s);
  m.conditions = times.conditions;
  m.median_s = Median(m.step_s);
  m.min_s = *std::min_element(m.step_s.begin(), m.step_s.end());
  m.max_s = *std::max_element(m.step_s.begin(), m.step_s.end());
  m.flops = PassFlops(plan);
  m.tokens = static_cast<double>(plan.config.batch_size * plan.config.model.seq_len);
  m.sent_bytes = SumOverRanks(world, executor.sent_bytes());
  m.num_allocations = SumOverRanks(world, num_allocations);
  AddMemory(plan, executor, *backend.device, world, &m);
  if (backend.device->kind() == DeviceKind::kCpu) {
    m.prediction = ComparePrediction(plan, executor, world, times, m.step_s);
    clock.Begin("empty_passes");
    m.empty_pass_s = MeasureEmptyPass(executor, backend, world, options.n_steps);
  }
}

void MeasureCeilings(Precision precision, double warmup_s, Communicator& world, Backend& backend,
                     Measurement* m) {
  // Else the process keeps what the passes had, and holds both at its peak.
  malloc_trim(0);
  world.Barrier();
  double best = 0;
  if (backend.device->kind() != DeviceKind::kCpu) {
    const SustainedRate own = MeasureSustainedMatmulRate(
        backend, precision,
        {.warmup_s = warmup_s, .timed_s = std::min(Sum(m->step_s), kMaxSustainedS)});
    m->sustained_matmul_flops_per_s = SumOverRanks(world, own.flops_per_s) / world.world_size();
    m->sustained_matmul_conditions = own.conditions;
    best = own.best_flops_per_s;
  }
  // A ceiling is the most that was ever seen.
  best = std::max(best, MeasureMatmulRate(backend, precision));
  m->matmul_flops_per_s = SumOverRanks(world, best) / world.world_size();
}

Measurement MeasureRank(const JobPlan& plan, const MeasureOptions& options,
                        const RankEnvironment& environment) {
  Communicator& world = environment.world;
  Backend& backend = environment.backend;
  PartClock clock(world.rank() == 0 ? options.on_part : nullptr);
  Measurement m;
  world.Barrier();
  MeasurePasses(plan, options, environment, clock, &m);
  if (MeasuresCeilings()) {
    clock.Begin("ceilings");
    MeasureCeilings(plan.config.precision, options.warmup_s, world, backend, &m);
  }
  clock.End();
  m.part_s = clock.part_s();
  if (backend.device->kind() == DeviceKind::kCpu) return m;
  const Device& device = *backend.device;
  m.peak_device_bytes = MaxOverRanks(world, device.peak_allocated_bytes() + device.runtime_bytes());
  return m;
}

}  // namespace

MemoryPrediction PredictMemory(const Job& job, const JobPlan& plan) {
  const Backend backend = MakeBackend(job.BackendOf(0));
  MemoryPrediction sum;
  if (job.device == DeviceKind::kCpu && MeasuresCeilings()) {
    sum.ceilings = CheckedProduct(
        "the memory of all ceilings",
        {CeilingBytes(backend, plan.config.precision), plan.config.sizes.world_size()});
  }
  const auto add = [](int64_t& part, int64_t bytes) {
    part = CheckedSum("the job's memory in bytes", part, bytes);
  };
  for (int rank = 0; rank < plan.config.sizes.world_size(); ++rank) {
    const RankMemory memory(plan, CoordinatesOf(rank, plan.config.sizes));
    const RankBytes& bytes = memory.bytes();
    add(sum.weights, bytes.weights);
    add(sum.gradients, bytes.weight_gradients + bytes.activation_gradients);
    add(sum.activations, bytes.activations + bytes.input);
    add(sum.workspaces, bytes.scratch);
    add(sum.workspaces, backend.kernels->WorkspaceBytes(memory.layout().Limits()));
  }
  return sum;
}

DeviceMemoryPrediction PredictDeviceMemory(const Job& job, const JobPlan& plan) {
  const Backend backend = MakeBackend(job.BackendOf(0));
  DeviceMemoryPrediction prediction = {
      .runtime = backend.device->runtime_bytes(),
      .ceiling = MeasuresCeilings() ? CeilingBytes(backend, plan.config.precision) : 0,
  };
  for (int rank = 0; rank < plan.config.sizes.world_size(); ++rank) {
    prediction.executor =
        std::max(prediction.executor, ExecutorBytes(plan, rank, *backend.kernels));
  }
  return prediction;
}

RankNeeds NeedsOf(const Job& job, const MeasureOptions& options) {
  const Backend backend = MakeBackend(job.BackendOf(0));
  const int64_t ceiling_bytes =
      MeasuresCeilings() ? CeilingBytes(backend, job.config.precision) : 0;
  return {.device_bytes = ceiling_bytes,
          .fingerprint = {{"n_steps", std::to_string(options.n_steps)},
                          {"timed_s", fmt::format("{}", options.timed_s)},
                          {"n_warmup_steps", std::to_string(options.num_warmup_steps)},
                          {"warmup_s", fmt::format("{}", options.warmup_s)},
                          {"SLUICE_NO_CEILINGS", MeasuresCeilings() ? "absent" : "present"}}};
}

Measurement Measure(RankStarter& ranks, const Job& job, const JobPlan& plan,
                    const MeasureOptions& options) {
  Measurement measurement;
  int64_t predicted_device_bytes = 0;
  if (job.device == DeviceKind::kCuda) {
    predicted_device_bytes = PredictDeviceMemory(job, plan).peak();
  }
  RunRanks(ranks, job, plan, NeedsOf(job, options), [&](const RankEnvironment& environment) {
    const Measurement m = MeasureRank(plan, options, environment);
    if (environment.world.rank() == ranks.rank()) measurement = m;
  });
  measurement.predicted_device_bytes = predicted_device_bytes;
  const MemoryPrediction memory = PredictMemory(job, plan);
  measurement.predicted_bytes = memory.total();
  measurement.predicted_peak_bytes = memory.peak();
  if (!RanksAreProcesses(job.comm)) measurement.peak_resident_bytes = PeakResidentBytes();
  return measurement;
}

}  // namespace sluice
