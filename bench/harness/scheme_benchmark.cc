#include "bench/harness/scheme_benchmark.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "core/base/checked_math.h"
#include "core/base/error.h"

namespace sluice {
namespace {

std::string PassName(Pass pass) { return pass == Pass::kForward ? "forward" : "step"; }

constexpr const char* kHeader =
    "{:<32} {:<7} {:>5} {:>10} {:>10} {:>7} {:>10} {:>12} {:>7} {:>9} {:>8} {:>8} {:>11}\n";

void PrintHeader() {
  fmt::print(kHeader, "scheme", "pass", "ranks", "ms median", "ms min", "spread", "tokens/s",
             "GFLOP/s/rank", "of peak", "simulated", "bubble", "bubble", "activations");
  fmt::print(kHeader, "", "", "", "", "", "", "", "", "", "ms", "simul.", "measured", "peak");
}

// The largest of one rank's rates of matrix products is 100 %.
double ShareOfCeiling(const Measurement& m, int world_size) {
  return m.flops / m.median_s / world_size / m.matmul_flops_per_s;
}

std::string Label(const SchemeBenchmark& benchmark) {
  const JobConfig& config = benchmark.plan.config;
  std::string label = benchmark.scheme;
  if (config.slices.size() > 1) label += fmt::format(" n={}", config.slices.size());
  if (config.num_micro_batches > 1) label += fmt::format(" m={}", config.num_micro_batches);
  if (config.num_chunks > 1) label += fmt::format(" v={}", config.num_chunks);
  return label;
}

void PrintRow(const SchemeBenchmark& benchmark, const Measurement& m) {
  const int world_size = benchmark.plan.config.sizes.world_size();
  fmt::print(kHeader, Label(benchmark), PassName(benchmark.plan.config.pass), world_size,
             fmt::format("{:.3f}", m.median_s * 1e3), fmt::format("{:.3f}", m.min_s * 1e3),
             fmt::format("{:.1f} %", 100 * (m.max_s - m.min_s) / m.median_s),
             fmt::format("{:.0f}", m.tokens / m.median_s),
             fmt::format("{:.1f}", m.flops / m.median_s / world_size * 1e-9),
             fmt::format("{:.1f} %", 100 * ShareOfCeiling(m, world_size)),
             m.has_prediction ? fmt::format("{:.3f}", m.simulated_s * 1e3) : "-",
             m.has_prediction ? fmt::format("{:.1f} %", 100 * m.simulated_bubble_fraction) : "-",
             m.has_prediction ? fmt::format("{:.1f} %", 100 * m.measured_bubble_fraction) : "-",
             FormatBytes(m.activation_bytes));
  std::fflush(stdout);
}

// All that is not a string in the table or the name.
void AddCounters(const SchemeBenchmark& benchmark, const Measurement& m, benchmark::State& state) {
  const int world_size = benchmark.plan.config.sizes.world_size();
  std::map<std::string, double> counters = {
      {"tokens_per_s", m.tokens / m.median_s},
      {"flops_per_s_per_rank", m.flops / m.median_s / world_size},
      {"matmul_flops_per_s_per_rank", m.matmul_flops_per_s},
      {"share_of_matmul_rate", ShareOfCeiling(m, world_size)},
      {"median_ms", m.median_s * 1e3},
      {"min_ms", m.min_s * 1e3},
      {"max_ms", m.max_s * 1e3},
      {"peak_activation_bytes", static_cast<double>(m.activation_bytes)},
      {"rank_bytes", static_cast<double>(m.rank_bytes)},
      {"predicted_bytes", static_cast<double>(m.predicted_bytes)},
      {"peak_resident_bytes", static_cast<double>(m.peak_resident_bytes)},
      {"sent_bytes", static_cast<double>(m.sent_bytes)},
      {"timed_allocations", static_cast<double>(m.num_allocations)},
      {"loss", m.loss},
  };
  if (m.has_prediction) {
    counters["simulated_ms"] = m.simulated_s * 1e3;
    counters["simulated_bubble_fraction"] = m.simulated_bubble_fraction;
    counters["measured_bubble_fraction"] = m.measured_bubble_fraction;
    counters["simulated_activation_bytes"] = static_cast<double>(m.simulated_activation_bytes);
  }
  for (const auto& [name, value] : counters) state.counters[name] = value;
}

// Keeps Google Benchmark's own output off the screen: the table is printed as measurements end.
class SilentReporter : public benchmark::BenchmarkReporter {
 public:
  explicit SilentReporter(bool shows_errors) : shows_errors_(shows_errors) {}
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (!run.error_occurred || !shows_errors_) continue;
      fmt::print(stderr, "error: {}: {}\n", run.run_name.function_name, run.error_message);
    }
  }

 private:
  bool shows_errors_;
};

// One benchmark: measured when its first repetition is asked for; each repetition is one pass.
class MeasuredJob {
 public:
  MeasuredJob(const SchemeBenchmark& benchmark, const SchemeRunOptions& options)
      : benchmark_(benchmark), world_(options.world) {}

  void Run(benchmark::State& state) {
    try {
      if (next_pass_ == 0) Measure();
    } catch (const Error& error) {
      state.SkipWithError(error.what());
      return;
    }
    for (auto _ : state) state.SetIterationTime(measurement_.step_s.at(next_pass_));
    ++next_pass_;
    AddCounters(benchmark_, measurement_, state);
  }

  // Google Benchmark clocked only the handing over of a time that had been measured before: puts
  // the pass's CPU time in place, and drops "/manual_time" from the name.
  void Edit(benchmark::BenchmarkReporter::Run& run) const {
    run.cpu_accumulated_time =
        measurement_.step_cpu_s.at(static_cast<size_t>(run.repetition_index));
    run.run_name.time_type.clear();
    run.run_name.iterations.clear();
    run.run_name.repetitions.clear();
  }

 private:
  bool is_shown() const { return world_ == nullptr || world_->rank() == 0; }

  void Measure() {
    if (is_shown() && isatty(STDERR_FILENO)) {
      fmt::print(stderr, "measuring {} ...\r", NameOf(benchmark_));
    }
    measurement_ = world_ == nullptr ? MeasureOnThreads(benchmark_.plan, benchmark_.options)
                                     : MeasureRank(benchmark_.plan, benchmark_.options, *world_);
    if (is_shown() && isatty(STDERR_FILENO)) fmt::print(stderr, "\033[2K");
    if (is_shown()) PrintRow(benchmark_, measurement_);
  }

  const SchemeBenchmark& benchmark_;
  Communicator* world_;
  Measurement measurement_;
  size_t next_pass_ = 0;
};

// The values of a context key over all benchmarks, once each.
template <typename ValueOf>
std::string Joined(const std::vector<SchemeBenchmark>& benchmarks, const ValueOf& value_of) {
  std::vector<std::string> values;
  for (const SchemeBenchmark& benchmark : benchmarks) {
    const std::string value = fmt::format("{}", value_of(benchmark));
    if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
  }
  return fmt::format("{}", fmt::join(values, ","));
}

BenchmarkContext ContextOf(const std::vector<SchemeBenchmark>& benchmarks) {
  using B = const SchemeBenchmark&;
  const Backend backend = MakeBackend({.kind = benchmarks.front().options.device,
                                       .precision = benchmarks.front().plan.config.precision});
  const auto joined = [&](auto value_of) { return Joined(benchmarks, value_of); };
  return {
      {"device", joined([](B b) { return Name(b.options.device); })},
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
      {"num_threads", joined([](B b) { return b.options.threads_per_rank; })},
      {"dtype", joined([](B b) { return Name(b.plan.config.precision); })},
      {"loss_kind", joined([](B b) { return Name(b.plan.config.loss); })},
      {"seed", joined([](B b) { return b.plan.config.seed; })},
  };
}

void PrintConditions(const std::vector<SchemeBenchmark>& benchmarks,
                     const BenchmarkContext& context) {
  std::map<std::string, std::string> value(context.begin(), context.end());
  for (const auto& [key, text] : BuildContext()) value[key] = text;
  fmt::print("{} ({}), {} thread(s) a rank, {}, {}\n", value["device"], value["device_name"],
             value["num_threads"], value["blas"], value["compiler"]);
  fmt::print("model {}: {} layers of {}, {} heads, {} tokens, batch {}, {} parameters, {}\n",
             value["model"], value["num_layers"], value["hidden_size"], value["num_heads"],
             value["seq_len"], value["batch_size"], value["parameter_count"], value["dtype"]);
  fmt::print("commit {}{}, build {}\n", value["commit"].substr(0, 12),
             value["dirty"] == "true" ? " (with local changes)" : "", value["build_mode"]);
  for (const SchemeBenchmark& benchmark : benchmarks) {
    fmt::print("memory: {} {} on {} rank(s) will allocate {}\n", Label(benchmark),
               PassName(benchmark.plan.config.pass), benchmark.plan.config.sizes.world_size(),
               FormatBytes(PredictedBytes(benchmark.plan, benchmark.options)));
  }
  fmt::print("\n");
  PrintHeader();
  std::fflush(stdout);
}

}  // namespace

std::string NameOf(const SchemeBenchmark& benchmark) {
  const JobConfig& config = benchmark.plan.config;
  std::string name = fmt::format("scheme:{}/model:{}/world_size:{}", benchmark.scheme,
                                 config.model.name, config.sizes.world_size());
  const auto add = [&](std::string_view key, int64_t value) {
    if (value > 1) name += fmt::format("/{}:{}", key, value);
  };
  add("tensor_parallel_size", benchmark.scheme == "megatron" ? 1 : config.sizes.tensor);
  add("data_parallel_size", config.sizes.data);
  add("batch_size", config.batch_size);
  add("num_micro_batches", config.num_micro_batches);
  add("n_slices", static_cast<int64_t>(config.slices.size()));
  add("num_chunks", config.num_chunks);
  return name + fmt::format("/device:{}/dtype:{}/pass:{}", Name(benchmark.options.device),
                            Name(config.precision), PassName(config.pass));
}

int RunSchemeBenchmarks(const std::vector<SchemeBenchmark>& benchmarks,
                        const SchemeRunOptions& options) {
  const bool is_shown = options.world == nullptr || options.world->rank() == 0;
  std::map<std::string, MeasuredJob> jobs;
  for (const SchemeBenchmark& benchmark : benchmarks) {
    const std::string name = NameOf(benchmark);
    MeasuredJob& job = jobs.try_emplace(name, benchmark, options).first->second;
    benchmark::RegisterBenchmark(name.c_str(), [&job](benchmark::State& state) { job.Run(state); })
        ->UseManualTime()
        ->Iterations(1)
        ->Repetitions(static_cast<int>(benchmark.options.n_steps))
        ->Unit(benchmark::kMillisecond);
  }
  BenchmarkRunOptions run = {.filter = options.filter,
                             .json_out = is_shown ? options.json_out : "",
                             .num_calibration_runs = options.num_calibration_runs,
                             .context = ContextOf(benchmarks),
                             .edit_run = [&](benchmark::BenchmarkReporter::Run& r) {
                               jobs.at(r.run_name.function_name).Edit(r);
                             }};
  if (is_shown) PrintConditions(benchmarks, run.context);
  SilentReporter display(is_shown);
  return RunBenchmarks(run, display);
}

}  // namespace sluice
