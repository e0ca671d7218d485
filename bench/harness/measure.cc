#include "bench/harness/measure.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
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
#include "bench/harness/op_times.h"
#include "bench/harness/over_ranks.h"
#include "bench/harness/resident_memory.h"
#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/tensor/all_finite.h"
#include "parallel/comm/rank_status.h"
#include "parallel/exec/check_memory.h"
#include "parallel/exec/executor.h"
#include "parallel/exec/rank_memory.h"
#include "parallel/schedule/activation_usage.h"

namespace sluice {
namespace {

// Enough for a GPU to be held down by its power limit, if it will be.
constexpr double kMaxSustainedS = 0.5;

constexpr int64_t kMaxSteps = 1'000'000;

// Enough for medians of ops.
constexpr int64_t kMaxRecordedPasses = 20;

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
  std::optional<DeviceConditions> conditions;
  CpuContention contention;  // of this process, where this rank is its first
};

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
    pass_s.push_back(MaxOverRanks(world, own_s));
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

// Of the process that lost the most; null where this process has another rank that measures it.
CpuContention MostContention(Communicator& world, const CpuContention& own) {
  const std::vector<double> most =
      MaxOverRanks(world, {own.run_delay_share.value_or(-1), own.steal_share,
                           static_cast<double>(own.num_throttled_periods), own.throttled_s});
  CpuContention contention = {.steal_share = most[1],
                              .num_throttled_periods = std::llround(most[2]),
                              .throttled_s = most[3]};
  if (most[0] >= 0) contention.run_delay_share = most[0];
  return contention;
}

// All ranks learn of all.
std::optional<CoreShortage> FindCoreShortage(Communicator& world, int num_threads) {
  const RankCores own = OwnCores(num_threads);
  std::vector<RankCores> all(static_cast<size_t>(world.world_size()));
  world.AllGather(ConstPayload{&own, int64_t{sizeof(own)}, ControlType::kByte}, all.data());
  return FindCoreShortage(all);
}

// Adds to `op_times` what was recorded of each timed pass, if passes are recorded.
RankTimes TimeSteps(const Job& job, Executor& executor, Backend& backend, Communicator& world,
                    const MeasureOptions& options, PartClock& clock, OpTimes* op_times) {
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
  clock.Begin("timed_passes");
  std::optional<ContentionMeter> meter;
  if (world.rank() == 0 || RanksAreProcesses(job.comm)) meter.emplace();
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
    if (executor.timeline().is_recording()) op_times->Add(executor.timeline().Read());
  }
  if (monitor != nullptr) times.conditions = monitor->Stop();
  if (meter) times.contention = meter->Stop();
  return times;
}

// Passes apart from the timed ones, whose ops are recorded; returns the time of each, the maximum
// over ranks.
std::vector<double> RecordPasses(Executor& executor, Backend& backend, Communicator& world,
                                 int64_t num_passes, OpTimes* op_times) {
  const std::unique_ptr<StreamTimer> timer = backend.stream->MakeTimer();
  executor.StartRecording();
  world.Barrier();
  executor.RunStep();
  std::vector<double> pass_s;
  for (int64_t pass = 0; pass < num_passes; ++pass) {
    world.Barrier();
    timer->Begin();
    executor.EnqueueStep();
    timer->End();
    executor.FinishStep();
    pass_s.push_back(static_cast<double>(timer->ElapsedNs()) * 1e-9);
    op_times->Add(executor.timeline().Read());
  }
  return MaxOverRanks(world, pass_s);
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

// The most activation bytes of this rank, by the order of its ops alone.
int64_t SimulatedActivationBytes(const JobPlan& plan, const Executor& executor) {
  const RankMemory& memory = executor.memory();
  return memory.PermanentActivationBytes() +
         PeakActivationBytes(plan.schedule, executor.rank().pipeline,
                             [&](const Unit& unit) { return memory.UnitActivationBytes(unit); });
}

void AddMemory(const JobPlan& plan, const Executor& executor, const Device& device,
               Communicator& world, Measurement* m) {
  m->simulated_activation_bytes = MaxOverRanks(world, SimulatedActivationBytes(plan, executor));
  m->activation_bytes = MaxOverRanks(world, executor.memory().bytes().activations);
  m->allocated_bytes = SumOverRanks(world, device.allocated_bytes());
  m->rank_bytes = MaxOverRanks(world, device.allocated_bytes());
}

// All that is measured while there is an executor.
void MeasurePasses(const Job& job, const JobPlan& plan, const MeasureOptions& options,
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

  OpTimeline& timeline = executor.timeline();
  OpTimes op_times(executor.ops().size());
  m.num_timestamps = MaxOverRanks(world, timeline.num_timestamps());
  m.max_timestamps = std::min(options.max_timestamps, timeline.max_timestamps());
  const bool is_cpu = backend.device->kind() == DeviceKind::kCpu;
  if (is_cpu) m.core_shortage = FindCoreShortage(world, job.threads);
  const bool has_op_times = m.num_timestamps <= m.max_timestamps;
  if (has_op_times && is_cpu) executor.StartRecording();
  const int64_t allocations_before = backend.device->num_allocations();
  const RankTimes times = TimeSteps(job, executor, backend, world, options, clock, &op_times);
  const int64_t num_allocations = backend.device->num_allocations() - allocations_before;
  executor.StopRecording();

  m.warmup_s = Sum(times.warmup_s);
  m.step_s = MaxOverRanks(world, times.step_s);
  m.step_cpu_s = times.step_cpu_s;
  m.calibration_cpu_s = MeanOverRanks(world, times.calibration_cpu_s);
  m.conditions = times.conditions;
  if (is_cpu) m.contention = MostContention(world, times.contention);
  m.median_s = Median(m.step_s);
  m.min_s = *std::min_element(m.step_s.begin(), m.step_s.end());
  m.max_s = *std::max_element(m.step_s.begin(), m.step_s.end());
  m.flops = PassFlops(plan);
  m.tokens = static_cast<double>(plan.config.batch_size * plan.config.model.seq_len);
  m.sent_bytes = SumOverRanks(world, executor.sent_bytes());
  m.num_allocations = SumOverRanks(world, num_allocations);
  AddMemory(plan, executor, *backend.device, world, &m);
  if (has_op_times) {
    std::vector<double> recorded_s = m.step_s;
    if (!is_cpu) {
      clock.Begin("recorded_passes");
      recorded_s = RecordPasses(executor, backend, world,
                                std::min(kMaxRecordedPasses, std::ssize(m.step_s)), &op_times);
    }
    m.op_times = Summarize(plan, world, op_times, recorded_s);
    if (options.records_step) m.step_record = RecordStep(plan, world, op_times, recorded_s);
  }
  if (is_cpu) {
    clock.Begin("empty_passes");
    m.empty_pass_s = MeasureEmptyPass(executor, backend, world, options.n_steps);
  }
}

void MeasureCeilings(Precision precision, double warmup_s, Communicator& world, Backend& backend,
                     Measurement* m) {
  // Else the process keeps what the passes had, and holds both at its peak.
  malloc_trim(0);
  world.Barrier();
  if (backend.device->kind() == DeviceKind::kCpu) {
    const std::vector<double> round_s =
        MaxOverRanks(world, TimeMatmulRounds(backend, precision, [&world] { world.Barrier(); }));
    m->matmul_flops_per_s =
        CeilingMatmulFlops(DeviceKind::kCpu) / *std::min_element(round_s.begin(), round_s.end());
    return;
  }
  const SustainedRate own = MeasureSustainedMatmulRate(
      backend, precision,
      {.warmup_s = warmup_s, .timed_s = std::min(Sum(m->step_s), kMaxSustainedS)});
  m->sustained_matmul_flops_per_s = SumOverRanks(world, own.flops_per_s) / world.world_size();
  m->sustained_matmul_conditions = own.conditions;
  // A ceiling is the most that was ever seen.
  const double best = std::max(own.best_flops_per_s, MeasureMatmulRate(backend, precision));
  m->matmul_flops_per_s = SumOverRanks(world, best) / world.world_size();
}

Measurement MeasureRank(const Job& job, const JobPlan& plan, const MeasureOptions& options,
                        const RankEnvironment& environment) {
  Communicator& world = environment.world;
  Backend& backend = environment.backend;
  PartClock clock(world.rank() == 0 ? options.on_part : nullptr);
  Measurement m;
  world.Barrier();
  MeasurePasses(job, plan, options, environment, clock, &m);
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
  const ParallelSizes& sizes = plan.config.sizes;
  const auto add = [&](int64_t& part, int64_t bytes) {
    const char* const what = "the job's memory in bytes";
    part = CheckedSum(what, part, CheckedProduct(what, {bytes, sizes.tensor, sizes.data}));
  };
  for (int pipeline = 0; pipeline < sizes.pipeline; ++pipeline) {
    const ExecutorNeed need = NeedOf(plan, pipeline, *backend.kernels);
    add(sum.weights, need.weights);
    add(sum.gradients, need.weight_gradients);
    add(sum.gradients, need.activation_gradients);
    add(sum.activations, need.activations);
    add(sum.workspaces, need.workspaces);
  }
  return sum;
}

DeviceMemoryPrediction PredictDeviceMemory(const Job& job, const JobPlan& plan) {
  const Backend backend = MakeBackend(job.BackendOf(0));
  DeviceMemoryPrediction prediction = {
      .runtime = backend.device->runtime_bytes(),
      .ceiling = MeasuresCeilings() ? CeilingBytes(backend, plan.config.precision) : 0,
  };
  for (int pipeline = 0; pipeline < plan.config.sizes.pipeline; ++pipeline) {
    prediction.executor =
        std::max(prediction.executor, NeedOf(plan, pipeline, *backend.kernels).total());
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
    const Measurement m = MeasureRank(job, plan, options, environment);
    if (environment.world.rank() == ranks.rank()) measurement = m;
  });
  measurement.predicted_device_bytes = predicted_device_bytes;
  const MemoryPrediction memory = PredictMemory(job, plan);
  measurement.predicted_bytes = memory.total();
  measurement.predicted_peak_bytes = memory.peak();
  measurement.peak_resident_bytes = PeakResidentBytes(ranks);
  return measurement;
}

}  // namespace sluice
