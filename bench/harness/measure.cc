#include "bench/harness/measure.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <utility>

#include "bench/harness/ceiling.h"
#include "bench/harness/ceilings_flag.h"
#include "bench/harness/empty_kernels.h"
#include "bench/harness/flops.h"
#include "bench/harness/job_times.h"
#include "bench/harness/op_times.h"
#include "bench/harness/over_ranks.h"
#include "bench/harness/process_usage.h"
#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/base/median.h"
#include "core/tensor/all_finite.h"
#include "parallel/comm/rank_status.h"
#include "parallel/exec/executor.h"
#include "parallel/exec/rank_memory.h"
#include "parallel/schedule/activation_usage.h"

namespace sluice {
namespace {

// Long enough for the power limit of a GPU to lower its clocks.
constexpr double kMaxSustainedS = 0.5;

// Enough for the medians of op times.
constexpr int64_t kMaxRecordedPasses = 20;

// The floating-point operations that the whole model needs for the whole batch in one pass.
double PassFlops(const JobPlan& plan) {
  const JobConfig& config = plan.config;
  return static_cast<double>(config.pass == Pass::kStep
                                 ? StepFlops(config.model, config.batch_size, config.prefix_len)
                                 : ForwardFlops(config.model, config.batch_size,
                                                {config.prefix_len, config.model.seq_len}));
}

// Reads a tensor of the device in blocks that fit into a cache: for larger blocks the system would
// clear new pages each time.
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

// Reports each part of the work as it begins, and keeps its duration.
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

// Gathers the cores of all ranks on all ranks.
std::optional<CoreShortage> FindCoreShortage(Communicator& world, int num_threads) {
  const RankCores own = OwnCores(num_threads);
  std::vector<RankCores> all(static_cast<size_t>(world.world_size()));
  world.AllGather(ConstPayload{&own, int64_t{sizeof(own)}, ControlType::kByte}, all.data());
  return FindCoreShortage(all);
}

// Runs passes whose ops are recorded; returns the time of each, the maximum over ranks.
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

double MeasureEmptyPass(Executor& executor, Communicator& world, int64_t n_steps) {
  std::unique_ptr<Kernels> kernels = executor.ExchangeKernels(std::make_unique<EmptyKernels>());
  std::vector<double> step_s;
  for (int64_t step = 0; step < n_steps; ++step) {
    world.Barrier();
    const int64_t begin_ns = MonotonicNs();
    executor.RunStep();
    step_s.push_back(static_cast<double>(MonotonicNs() - begin_ns) * 1e-9);
  }
  executor.ExchangeKernels(std::move(kernels));
  return Median(MaxOverRanks(world, step_s));
}

// The peak of this rank's activations, by the order of its ops alone.
int64_t SimulatedActivationBytes(const JobPlan& plan, const Executor& executor) {
  const RankMemory& memory = executor.memory();
  return memory.PermanentActivationBytes() +
         PeakActivationBytes(plan.schedule, executor.rank().pipeline,
                             [&](const Unit& unit) { return memory.UnitActivationBytes(unit); });
}

// Gathers the use of all ranks on all ranks.
std::vector<RankUse> GatherUse(const JobPlan& plan, const Executor& executor, const Device& device,
                               Communicator& world) {
  const RankUse own = {.simulated_activation_bytes = SimulatedActivationBytes(plan, executor),
                       .bytes = executor.memory().bytes(),
                       .allocated_bytes = device.allocated_bytes(),
                       .traffic = executor.traffic()};
  std::vector<RankUse> all(static_cast<size_t>(world.world_size()));
  world.AllGather(ConstPayload{&own, int64_t{sizeof(own)}, ControlType::kByte}, all.data());
  return all;
}

// Adds what the recorded passes of all ranks say together, on rank 0.
void AddOpTimes(const JobPlan& plan, Communicator& world, const OpTimes& own,
                std::vector<double> pass_s, Measurement* m) {
  m->job_times = GatherTimes(plan, world, own, std::move(pass_s));
  if (m->job_times) m->op_times = Summarize(plan, *m->job_times);
}

// Measures everything that needs the executor.
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
  const TimedPasses passes =
      TimePasses(executor, environment, job.comm, options,
                 {.on_part = [&clock](std::string_view part) { clock.Begin(std::string(part)); },
                  .on_pass =
                      [&] {
                        if (timeline.is_recording()) op_times.Add(timeline.Read());
                      }});
  const int64_t num_allocations = backend.device->num_allocations() - allocations_before;
  executor.StopRecording();

  m.warmup_s = passes.warmup_s;
  m.step_s = passes.step_s;
  m.step_cpu_s = passes.step_cpu_s;
  m.calibration_cpu_s = passes.calibration_cpu_s;
  m.conditions = passes.conditions;
  m.contention = passes.contention;
  m.median_s = passes.median_s();
  m.min_s = passes.min_s();
  m.max_s = passes.max_s();
  m.world_size = world.world_size();
  m.flops = PassFlops(plan);
  m.tokens = static_cast<double>(plan.config.batch_size * plan.config.model.seq_len);
  m.num_allocations = SumOverRanks(world, num_allocations);
  m.of_rank = GatherUse(plan, executor, *backend.device, world);
  if (has_op_times) {
    std::vector<double> recorded_s = m.step_s;
    if (!is_cpu) {
      clock.Begin("recorded_passes");
      recorded_s = RecordPasses(executor, backend, world,
                                std::min(kMaxRecordedPasses, std::ssize(m.step_s)), &op_times);
    }
    AddOpTimes(plan, world, op_times, std::move(recorded_s), &m);
  }
  if (is_cpu) {
    clock.Begin("empty_passes");
    m.empty_pass_s = MeasureEmptyPass(executor, world, options.n_steps);
  }
}

void MeasureCeilings(Precision precision, double warmup_s, Communicator& world, Backend& backend,
                     Measurement* m) {
  // Otherwise the process would keep the memory of the passes, and its peak would include both.
  malloc_trim(0);
  world.Barrier();
  if (backend.device->kind() == DeviceKind::kCpu) {
    const std::vector<double> round_s =
        MaxOverRanks(world, TimeMatmulRounds(backend, precision, [&world] { world.Barrier(); }));
    m->matmul_flops_per_s =
        CeilingMatmulFlops(DeviceKind::kCpu) / *std::min_element(round_s.begin(), round_s.end());
    return;
  }
  const double timed_s = std::accumulate(m->step_s.begin(), m->step_s.end(), 0.0);
  const SustainedRate own = MeasureSustainedMatmulRate(
      backend, precision, {.warmup_s = warmup_s, .timed_s = std::min(timed_s, kMaxSustainedS)});
  m->sustained_matmul_flops_per_s = SumOverRanks(world, own.flops_per_s) / world.world_size();
  m->sustained_matmul_conditions = own.conditions;
  // A ceiling is the highest rate that was ever measured.
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

int64_t PredictedPeakBytes(DeviceKind device, const MemoryPlan& memory) {
  const int64_t total_bytes = memory.Sum().total();
  if (device != DeviceKind::kCpu) return total_bytes;
  return std::max(total_bytes, CheckedProduct("the memory of all ceilings",
                                              {memory.apart_bytes, memory.sizes.world_size()}));
}

RankNeeds NeedsOf(const Job& job, const MeasureOptions& options) {
  return {.device_bytes = MeasuresCeilings() ? CeilingBytes(job.BackendOf(0)) : 0,
          .fingerprint = {{"n_steps", std::to_string(options.n_steps)},
                          {"timed_s", fmt::format("{}", options.timed_s)},
                          {"n_warmup_steps", std::to_string(options.num_warmup_steps)},
                          {"warmup_s", fmt::format("{}", options.warmup_s)},
                          {"ceilings", FLAGS_ceilings}}};
}

int64_t SumOverProcesses(const RankStarter& ranks, int64_t bytes) {
  return ranks.world() == nullptr ? bytes : SumOverRanks(*ranks.world(), bytes);
}

Measurement Measure(RankStarter& ranks, const Job& job, const JobPlan& plan,
                    const MemoryPlan& memory, const MeasureOptions& options,
                    int64_t program_bytes) {
  Measurement measurement;
  RunRanks(ranks, job, [&](const RankEnvironment& environment) {
    const int64_t runtime_bytes = environment.backend.device->runtime_bytes();
    Measurement m = MeasureRank(job, plan, options, environment);
    if (job.device == DeviceKind::kCuda) {
      m.predicted_device_bytes = runtime_bytes + memory.MaxDeviceBytes();
    }
    if (environment.world.rank() == ranks.rank()) measurement = m;
  });
  measurement.predicted_bytes = memory.Sum().total();
  measurement.predicted_peak_bytes = PredictedPeakBytes(job.device, memory);
  measurement.program_bytes = program_bytes;
  measurement.peak_resident_bytes = SumOverProcesses(ranks, PeakResidentBytes());
  return measurement;
}

}  // namespace sluice
