#include "bench/harness/scheme_benchmark.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include "bench/harness/ceilings_flag.h"
#include "bench/harness/job_details.h"
#include "bench/harness/job_times.h"
#include "bench/harness/measurement_metrics.h"
#include "bench/harness/process_usage.h"
#include "core/backend/backend.h"
#include "core/base/checked_math.h"
#include "core/device/device_monitor.h"
#include "parallel/exec/memory_plan.h"
#include "parallel/exec/small_layer_choice_of.h"
#include "programs/job_name.h"
#include "programs/run_ranks.h"

namespace sluice {
namespace {

// The columns in front of the metrics: label, pass and number of ranks.
constexpr const char* kRowBegin = "{:<{}} {:<7} {:>5}";

void PrintHeader(size_t label_width) {
  std::string lines[2] = {fmt::format(kRowBegin, "scheme", label_width, "pass", "ranks"),
                          fmt::format(kRowBegin, "", label_width, "", "")};
  for (const Metric<Measurement>& metric : MeasurementMetrics()) {
    if (metric.text == nullptr) continue;
    const size_t first_size = metric.shown_as.find('\n');
    const std::string_view first = metric.shown_as.substr(0, first_size);
    const std::string_view second = metric.shown_as.substr(
        std::min(metric.shown_as.size(),
                 first_size == std::string_view::npos ? first_size : first_size + 1));
    lines[0] += fmt::format(" {:>{}}", first, metric.width);
    lines[1] += fmt::format(" {:>{}}", second, metric.width);
  }
  fmt::print("{}\n{}\n", lines[0], lines[1]);
}

// The letters that tables have for the commonest parts of a name.
std::string ShortKey(const std::string& key) {
  static const std::map<std::string, std::string> letters = {
      {"batch_size", "b"}, {"num_micro_batches", "m"},    {"n_slices", "n"},
      {"num_chunks", "v"}, {"tensor_parallel_size", "t"}, {"data_parallel_size", "d"}};
  const auto letter = letters.find(key);
  return letter == letters.end() ? key : letter->second;
}

size_t LabelWidth(const std::vector<SchemeBenchmark>& benchmarks) {
  size_t width = 0;
  for (const SchemeBenchmark& benchmark : benchmarks) {
    width = std::max(width, LabelOf(benchmark).size());
  }
  return width;
}

std::string Milliseconds(double seconds) { return fmt::format("{:.3f}", seconds * 1e3); }
std::string Percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

// The lines about a GPU below a row: "  during the passes, ...: SM 1755 MHz (least 1605), ...".
void PrintGpu(const Measurement& m) {
  if (m.conditions) {
    fmt::print("  during the passes, after {:.1f} s of warm-up: {}\n", m.warmup_s,
               Describe(*m.conditions));
  }
  if (m.sustained_matmul_flops_per_s) {
    const double rate = *m.sustained_matmul_flops_per_s;
    fmt::print("  of products for as long: {} of {:.1f} GFLOP/s",
               Percent(m.flops_per_s_per_rank() / rate), rate * 1e-9);
    if (m.sustained_matmul_conditions) {
      fmt::print("; then {}", Describe(*m.sustained_matmul_conditions));
    }
    fmt::print("\n");
  }
  if (m.peak_device_bytes > 0) {
    fmt::print("  memory of the GPU: {} in use at most, {} of the prediction\n",
               FormatBytes(m.peak_device_bytes),
               Percent(static_cast<double>(m.peak_device_bytes) /
                       static_cast<double>(m.predicted_device_bytes)));
  }
}

// The lines below a row about collectives, or about why the row has no op times.
void PrintOpTimes(const SchemeBenchmark& benchmark, const Measurement& m) {
  if (m.core_shortage) {
    fmt::print(
        "  no op times: more threads of ranks ({}) than cores ({:.3g}), so an op's time includes "
        "that of other ranks\n",
        m.core_shortage->num_threads, m.core_shortage->num_cores);
    return;
  }
  if (!m.op_times) {
    fmt::print(
        "  no op times: a pass takes {} timestamps on a rank, more than the {} that are allowed\n",
        m.num_timestamps, m.max_timestamps);
    return;
  }
  const ParallelSizes& sizes = benchmark.plan.config.sizes;
  const auto print = [](const char* group, const RankTime& time) {
    fmt::print("  in collectives of {} ranks: {} ms on the slowest rank, mean {}\n", group,
               Milliseconds(time.max_s), Milliseconds(time.mean_s));
  };
  if (sizes.tensor > 1) print("tensor-parallel", m.op_times->tensor_collectives);
  if (sizes.data > 1) print("data-parallel", m.op_times->data_collectives);
}

void PrintRow(const SchemeBenchmark& benchmark, const Measurement& m, size_t label_width) {
  fmt::print(kRowBegin, LabelOf(benchmark), label_width, NameOf(benchmark.plan.config.pass),
             m.world_size);
  for (const Metric<Measurement>& metric : MeasurementMetrics()) {
    if (metric.text == nullptr) continue;
    const std::optional<double> value = metric.value(m);
    fmt::print(" {:>{}}", value ? metric.text(*value) : "-", metric.width);
  }
  fmt::print("\n");
  if (benchmark.job.gpu_use == GpuUse::kShared) fmt::print("  {}\n", kSharedGpuMark);
  PrintOpTimes(benchmark, m);
  PrintGpu(m);
  std::fflush(stdout);
}

// "gpipe b=4 m=4 step on 2 ranks, model test, cpu f32".
std::string TitleOf(const SchemeBenchmark& benchmark) {
  const JobConfig& config = benchmark.plan.config;
  return fmt::format("{} {} on {} rank(s), model {}, {} {}", LabelOf(benchmark),
                     NameOf(config.pass), config.sizes.world_size(), config.model.name,
                     Name(benchmark.job.device), Name(config.precision));
}

// What a measurement adds to, besides the row.
struct BenchmarkOutputs {
  bool has_details = false;                 // Samples::details
  std::vector<TimedStep>* steps = nullptr;  // null: none
};

Samples MeasureAndPrint(const SchemeBenchmark& benchmark, const MemoryPlan& memory,
                        RankStarter& ranks, int64_t program_bytes, const OnMeasured& on_measured,
                        const BenchmarkOutputs& outputs) {
  const bool is_shown = ranks.rank() == 0;
  const bool is_terminal = is_shown && isatty(STDERR_FILENO);
  constexpr const char* kClearLine = "\033[2K";
  MeasureOptions options = benchmark.options;
  if (is_terminal) {
    options.on_part = [&](std::string_view part) {
      fmt::print(stderr, "{}measuring {}: {} ...\r", kClearLine, NameOf(benchmark), part);
    };
  }
  const Measurement m =
      Measure(ranks, benchmark.job, benchmark.plan, memory, options, program_bytes);
  if (is_terminal) fmt::print(stderr, "{}", kClearLine);
  if (is_shown) on_measured(benchmark, m);
  if (m.job_times && outputs.steps != nullptr) {
    outputs.steps->push_back(
        TimedStepOf(benchmark.plan, TitleOf(benchmark), RecordStep(benchmark.plan, *m.job_times)));
  }
  return {.elapsed_s = m.step_s,
          .cpu_s = m.step_cpu_s,
          .calibration_cpu_s = m.calibration_cpu_s,
          .contention = m.contention,
          .conditions = m.conditions,
          .counters = Counters(m),
          .details = outputs.has_details && is_shown ? JobDetails(benchmark.plan, memory, m) : ""};
}

std::string LayersOfStages(const JobPlan& plan) {
  std::vector<int64_t> counts;
  for (const LayerRange& layers : plan.layers_of_stage) counts.push_back(layers.num_layers);
  return RunLengthText(counts);
}

// The values of a context key over all benchmarks, without repetitions.
template <typename ValueOf>
std::string Joined(const std::vector<SchemeBenchmark>& benchmarks, const ValueOf& value_of) {
  std::vector<std::string> values;
  for (const SchemeBenchmark& benchmark : benchmarks) {
    const std::string value = fmt::format("{}", value_of(benchmark));
    if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
  }
  return fmt::format("{}", fmt::join(values, ","));
}

// All benchmarks of a process use GPUs alike.
void AddGpuUse(const Job& job, BenchmarkContext* context) {
  if (job.gpu_use == GpuUse::kShared) {
    context->emplace_back("share_gpu", std::string(kSharedGpuMark));
  }
}

BenchmarkContext ContextOf(const std::vector<SchemeBenchmark>& benchmarks, const Backend& backend,
                           int64_t program_bytes) {
  using B = const SchemeBenchmark&;
  const auto joined = [&](auto value_of) { return Joined(benchmarks, value_of); };
  return {
      {"device", joined([](B b) { return Name(b.job.device); })},
      {"device_name", backend.device->description()},
      {"model", joined([](B b) { return b.plan.config.model.name; })},
      {"num_layers", joined([](B b) { return b.plan.config.model.num_layers; })},
      {"hidden_size", joined([](B b) { return b.plan.config.model.hidden_size; })},
      {"seq_len", joined([](B b) { return b.plan.config.model.seq_len; })},
      {"num_heads", joined([](B b) { return b.plan.config.model.num_heads; })},
      {"prefix_len", joined([](B b) { return b.plan.config.prefix_len; })},
      {"batch_size", joined([](B b) { return b.plan.config.batch_size; })},
      {"parameter_count", joined([](B b) { return NumParameters(b.plan.config.model); })},
      {"world_size", joined([](B b) { return b.plan.config.sizes.world_size(); })},
      {"pipeline_parallel_size", joined([](B b) { return b.plan.config.sizes.pipeline; })},
      {"tensor_parallel_size", joined([](B b) { return b.plan.config.sizes.tensor; })},
      {"data_parallel_size", joined([](B b) { return b.plan.config.sizes.data; })},
      {"plan", joined([](B b) { return Name(b.plan.config.plan); })},
      {"layers_of_stages", joined([](B b) { return LayersOfStages(b.plan); })},
      {"num_micro_batches", joined([](B b) { return b.plan.config.num_micro_batches; })},
      {"slice_lens", joined([](B b) { return SliceLens(b.plan.config); })},
      {"comm", joined([](B b) { return Name(b.job.comm); })},
      {"timed_s", joined([](B b) { return b.options.timed_s; })},
      {"n_warmup_steps", joined([](B b) { return b.options.num_warmup_steps; })},
      {"warmup_s", joined([](B b) { return b.options.warmup_s; })},
      {"ceilings", FLAGS_ceilings},
      {"num_threads", joined([](B b) { return b.job.threads; })},
      {"conditions", joined([&](B) {
         const std::unique_ptr<DeviceMonitor> monitor = backend.device->MakeMonitor();
         return monitor == nullptr ? std::string("not sampled on cpu") : monitor->source();
       })},
      {"attention",
       joined([&](B b) { return backend.kernels->AttentionName(b.plan.config.model.head_dim()); })},
      {"kernels", joined([](B b) { return Name(b.job.kernels); })},
      {"small_kernels",
       joined([&](B b) { return Name(SmallLayerChoiceOf(b.plan, backend.small_layer.get())); })},
      {"dtype", joined([](B b) { return Name(b.plan.config.precision); })},
      {"grad_dtype", joined([](B b) { return Name(GradDType(b.plan.config)); })},
      {"loss_kind", joined([](B b) { return Name(b.plan.config.loss); })},
      {"seed", joined([](B b) { return b.plan.config.seed; })},
      {"program_bytes", joined([&](B) { return program_bytes; })},
  };
}

// What all ranks of a benchmark allocate. Throws Error unless they can run.
MemoryPlan CheckedMemory(const SchemeBenchmark& benchmark, RankStarter& ranks) {
  const RankNeeds needs = NeedsOf(benchmark.job, benchmark.options);
  MemoryPlan memory = PlanMemory(benchmark.job, benchmark.plan, needs);
  CheckRanks(ranks, benchmark.job, benchmark.plan, memory, needs.fingerprint);
  return memory;
}

// Memory in bytes that is known before ranks run.
struct KnownMemory {
  int64_t program_bytes = 0;  // resident in all processes
  int64_t runtime_bytes = 0;  // of this process's GPU: context and kernels
};

// "memory of gpipe step in MiB: program and libraries 41.2 + weights 9.0 + ... = peak 120.4".
void PrintMemory(const SchemeBenchmark& benchmark, const MemoryPlan& memory,
                 const KnownMemory& known) {
  const Job& job = benchmark.job;
  const RankBytes sum = memory.Sum();
  // On CUDA, only the memory of GPUs is predicted.
  const int64_t program = job.device == DeviceKind::kCpu ? known.program_bytes : 0;
  const int64_t peak = PredictedPeakBytes(job.device, memory);
  const auto mib = [](int64_t bytes) {
    return fmt::format("{:.1f}", static_cast<double>(bytes) / (1 << 20));
  };
  const std::string what = job.device == DeviceKind::kCpu ? "predicted peak" : "allocated";
  fmt::print("memory of {} {} on {} rank(s) in MiB: ", LabelOf(benchmark),
             NameOf(benchmark.plan.config.pass), job.config.sizes.world_size());
  if (program > 0) fmt::print("program and libraries {} + ", mib(program));
  fmt::print("weights {} + gradients {} + activations {} + workspaces {}", mib(sum.weights),
             mib(sum.weight_gradients + sum.activation_gradients), mib(sum.activations + sum.input),
             mib(sum.scratch + sum.kernels));
  if (peak > sum.total()) {
    fmt::print(", or after these the matrix-product ceiling's {}", mib(peak));
  }
  fmt::print(" = {} {}\n", what, mib(program + peak));
  if (job.device == DeviceKind::kCpu) return;
  fmt::print(
      "memory of a GPU in MiB: context and kernels {} (measured) + the larger of its rank's {} and "
      "of the matrix-product ceiling's {} = predicted peak {}\n",
      mib(known.runtime_bytes), mib(memory.MaxRankBytes()), mib(memory.apart_bytes),
      mib(known.runtime_bytes + memory.MaxDeviceBytes()));
}

void PrintConditions(const std::vector<SchemeBenchmark>& benchmarks,
                     const BenchmarkContext& context) {
  std::map<std::string, std::string> value(context.begin(), context.end());
  for (const auto& [key, text] : BuildContext()) value[key] = text;
  fmt::print("{} ({}), {} thread(s) a rank, {}, {}, attention {}, small kernels {}\n",
             value["device"], value["device_name"], value["num_threads"], value["blas"],
             value["compiler"], value["attention"], value["small_kernels"]);
  fmt::print(
      "model {}: {} layers of {}, {} heads, {} tokens, batch {}, {} parameters, {}, "
      "weight gradients {}\n",
      value["model"], value["num_layers"], value["hidden_size"], value["num_heads"],
      value["seq_len"], value["batch_size"], value["parameter_count"], value["dtype"],
      value["grad_dtype"]);
  fmt::print("layers of stages {}, slices of {} tokens behind {}, plan {}, ranks by {}\n",
             value["layers_of_stages"], value["slice_lens"], value["prefix_len"], value["plan"],
             value["comm"]);
  fmt::print("commit {}{}, build {}\n", value["commit"].substr(0, 12),
             value["dirty"] == "true" ? " (with local changes)" : "", value["build_mode"]);
  if (benchmarks.front().job.gpu_use == GpuUse::kShared) fmt::print("{}\n", kSharedGpuMark);
  std::fflush(stdout);
}

}  // namespace

std::string NameOf(const SchemeBenchmark& benchmark) {
  return NameOf(benchmark.job, benchmark.plan);
}

std::string LabelOf(const SchemeBenchmark& benchmark) {
  // Shown in other columns, or in the lines above the table.
  static const std::set<std::string> elsewhere = {"model", "world_size", "device", "dtype", "pass"};
  std::istringstream parts(NameOf(benchmark));
  std::string label;
  for (std::string part; std::getline(parts, part, '/');) {
    const size_t colon = part.find(':');
    const std::string key = part.substr(0, colon), value = part.substr(colon + 1);
    if (key == "scheme") {
      label = value;
    } else if (!elsewhere.contains(key)) {
      label += fmt::format(" {}={}", ShortKey(key), value);
    }
  }
  return label;
}

std::vector<SchemeBenchmark> Selected(const std::vector<SchemeBenchmark>& all,
                                      const std::string& filter) {
  std::vector<std::string> names;
  for (const SchemeBenchmark& benchmark : all) names.push_back(NameOf(benchmark));
  std::vector<SchemeBenchmark> selected;
  for (const size_t i : SelectedIndices(names, filter)) selected.push_back(all[i]);
  return selected;
}

int RunSchemeBenchmarks(const std::vector<SchemeBenchmark>& benchmarks, const ResultOptions& result,
                        const StepOutputs& outputs, RankStarter& ranks,
                        const OnMeasured& on_measured) {
  KnownMemory known = {.program_bytes = SumOverProcesses(ranks, ResidentBytes())};
  const size_t label_width = LabelWidth(benchmarks);
  const OnMeasured print_row = [&](const SchemeBenchmark& benchmark, const Measurement& m) {
    PrintRow(benchmark, m, label_width);
  };
  std::vector<MemoryPlan> memory;  // of each benchmark, once `before` has run
  std::vector<Benchmark> runs;
  std::vector<TimedStep> steps;
  for (size_t i = 0; i < benchmarks.size(); ++i) {
    runs.push_back({.name = NameOf(benchmarks[i]), .measure = [&, i] {
                      return MeasureAndPrint(benchmarks[i], memory[i], ranks, known.program_bytes,
                                             on_measured ? on_measured : print_row,
                                             {.has_details = !result.json_out.empty(),
                                              .steps = outputs.any() ? &steps : nullptr});
                    }});
  }
  BenchmarkContext context;
  {
    const Backend backend = MakeBackend(benchmarks.front().job.BackendOf(0));
    known.runtime_bytes = backend.device->runtime_bytes();
    context = ContextOf(benchmarks, backend, known.program_bytes);
  }
  AddGpuUse(benchmarks.front().job, &context);
  const auto before = [&] {
    for (const SchemeBenchmark& benchmark : benchmarks) {
      memory.push_back(CheckedMemory(benchmark, ranks));
    }
    if (ranks.rank() != 0) return;
    PrintConditions(benchmarks, context);
    if (on_measured) return;
    for (size_t i = 0; i < benchmarks.size(); ++i) PrintMemory(benchmarks[i], memory[i], known);
    fmt::print("\n");
    PrintHeader(label_width);
  };
  const int exit_code = RunBenchmarks(runs, {.result = result,
                                             .context = context,
                                             .rank = ranks.rank(),
                                             .prints_disturbances = on_measured == nullptr,
                                             .before = before});
  if (ranks.rank() == 0 && outputs.any() && !result.lists) WriteSteps(outputs, steps);
  return exit_code;
}

int RunSelected(const std::vector<SchemeBenchmark>& all, const ResultOptions& result,
                const StepOutputs& outputs, const OnMeasured& on_measured) {
  const std::vector<SchemeBenchmark> selected = Selected(all, result.filter);
  const Job& job = selected.front().job;
  return RunWithRanks(job.comm, {.timeout_s = job.timeout_s}, [&](RankStarter& ranks) {
    return RunSchemeBenchmarks(selected, result, outputs, ranks, on_measured);
  });
}

}  // namespace sluice
