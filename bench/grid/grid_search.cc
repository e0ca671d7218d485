#include "bench/grid/grid_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "bench/grid/time_left.h"
#include "bench/harness/ceiling.h"
#include "bench/harness/condition_metrics.h"
#include "bench/harness/cpu_contention.h"
#include "bench/harness/flops.h"
#include "bench/harness/run_benchmarks.h"
#include "bench/harness/time_passes.h"
#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/model/initial_values.h"
#include "parallel/exec/executor.h"
#include "parallel/exec/initialize.h"
#include "parallel/exec/memory_plan.h"
#include "programs/rank_starter.h"
#include "programs/run_ranks.h"

namespace sluice {
namespace {

constexpr int64_t kMaxPoints = 1'000'000;

using Known = std::map<GridPoint, GridRecord>;

std::string NameOf(const GridPoint& point) {
  return fmt::format("num_layers {}, hidden_size {}, seq_len {}, prefix_len {}", point.num_layers,
                     point.hidden_size, point.seq_len, point.prefix_len);
}

int64_t FlopsOf(const GridPoint& point, const GridStack& stack) {
  const JobConfig config = PlanOf(point, stack).config;
  return ForwardFlops(config.model, config.batch_size, {point.prefix_len, point.seq_len});
}

// The records of an earlier run, by point.
Known ReadKnown(const ResultsFile& file, const GridConditions& conditions,
                const std::string& path) {
  Known known;
  for (size_t i = 0; i < file.lines().size(); ++i) {
    try {
      const GridRecord record = ParseRecord(conditions, file.lines()[i]);
      known[record.point] = record;
    } catch (const Error& error) {
      throw Error(fmt::format("cannot resume '{}': line {}: {}", path, i + 1, error.what()));
    }
  }
  return known;
}

std::vector<GridRecord> RecordsOf(const std::vector<GridPoint>& points, const Known& known) {
  std::vector<GridRecord> records;
  for (const GridPoint& point : points) records.push_back(known.at(point));
  return records;
}

using Clock = std::chrono::steady_clock;

// Prints one line for each point on stderr, with the time that the remaining points will take.
class Progress {
 public:
  Progress(size_t num_points, double expected_s_per_flop)
      : time_left_(expected_s_per_flop), num_points_(num_points) {}

  // Counts a point that is still to be measured.
  void Plan(double flops) {
    ++num_left_;
    flops_left_ += flops;
  }

  void Skip() { ++num_done_; }

  // `flops`: as in Plan, or 0 for a point that was not planned.
  void Show(const GridRecord& record, double flops, double seconds) {
    ++num_done_;
    if (flops > 0) {
      --num_left_;
      flops_left_ -= flops;
      if (record.status == PointStatus::kMeasured) time_left_.Add(flops, seconds);
    }
    const std::string result =
        record.status == PointStatus::kMeasured
            ? fmt::format("{:.3f} ms, {:.1f} GFLOP/s", static_cast<double>(record.median_ns) * 1e-6,
                          record.flops_per_s() * 1e-9)
            : fmt::format("needs {}, {} are available: left out", FormatBytes(record.needed_bytes),
                          FormatBytes(record.available_bytes));
    fmt::print(stderr, "[{}/{}] {}: {}; about {:.0f} s left\n", num_done_, num_points_,
               NameOf(record.point), result,
               time_left_.Seconds(num_left_, std::max(0.0, flops_left_)));
  }

 private:
  TimeLeft time_left_;
  size_t num_points_;
  size_t num_done_ = 0;
  int64_t num_left_ = 0;
  double flops_left_ = 0;
};

// Initial values whose cached prefix is drawn once: the first elements of layer 0's are repeated in
// every layer, because only the size of a prefix affects a time.
class GridValues : public DrawnValues {
 public:
  explicit GridValues(uint64_t seed) : DrawnValues(seed), prefix_(kPeriod) {
    DrawnValues::Prefix(/*layer=*/0, /*element_begin=*/0, prefix_);
  }

  void Prefix(int64_t /*layer*/, int64_t element_begin, std::span<double> out) const override {
    auto element = static_cast<size_t>(element_begin);
    for (double& value : out) value = prefix_[element++ % kPeriod];
  }

 private:
  static constexpr size_t kPeriod = 1 << 20;

  std::vector<double> prefix_;
};

class Search {
 public:
  Search(const RankEnvironment& environment, const GridSearchOptions& options)
      : environment_(environment),
        device_(*environment.backend.device),
        options_(options),
        ceiling_flops_per_s_(MeasureMatmulRate(environment.backend, options.backend.precision)),
        values_(options.stack.seed) {
    // If the device has no kernels for head_dim, this throws. A later Error then means memory.
    const JobPlan smallest = PlanOf({.hidden_size = options.stack.head_dim}, options.stack);
    const Executor executor(smallest, environment.backend, environment.world, values_);
  }

  // The time of all runs of a point per operation, if it ran as fast as a large square product.
  double best_s_per_flop() const {
    return static_cast<double>(2 + options_.num_warmup_steps + options_.n_steps) /
           ceiling_flops_per_s_;
  }

  bool Fits(const GridPoint& point) const { return NeededBytes(point) <= AvailableBytes(); }

  GridRecord Measure(const GridPoint& point) {
    GridRecord record = {.point = point, .needed_bytes = NeededBytes(point)};
    const std::optional<TimedPasses> passes = Time(point);
    if (!passes) {
      record.status = PointStatus::kOutOfMemory;
      record.available_bytes = AvailableBytes();
      return record;
    }
    record.min_ns = std::llround(passes->min_s() * 1e9);
    record.median_ns = std::llround(passes->median_s() * 1e9);
    record.max_ns = std::llround(passes->max_s() * 1e9);
    record.flops = FlopsOf(point, options_.stack);
    record.ceiling_flops_per_s = ceiling_flops_per_s_;
    if (passes->contention) {
      AddCounters(ContentionMetrics(), *passes->contention, &record.counters);
    }
    if (passes->conditions) AddConditions("", *passes->conditions, &record.counters);
    return record;
  }

 private:
  int64_t NeededBytes(const GridPoint& point) const {
    const JobPlan plan = PlanOf(point, options_.stack);
    const KernelLimits limits = UnitLayout(plan, {}).limits();
    return PlanMemory(plan, KernelWorkspaceBytes(options_.backend, limits)).Sum().total();
  }

  // For a point, which reuses or replaces what is allocated now.
  int64_t AvailableBytes() const { return device_.available_bytes() + device_.allocated_bytes(); }

  // Absent if there is not enough memory.
  std::optional<TimedPasses> Time(const GridPoint& point) {
    if (!Fits(point)) return std::nullopt;
    const bool is_other_size = std::exchange(hidden_size_, point.hidden_size) != point.hidden_size;
    // Weights beyond those of a smaller stack may take the memory of a longer cache.
    if (is_other_size || NeededBytes(point) > device_.available_bytes()) weights_ = {};
    const JobPlan plan = PlanOf(point, options_.stack);
    std::optional<Executor> executor;
    try {
      executor.emplace(plan, environment_.backend, environment_.device_world, values_, &weights_);
    } catch (const Error&) {  // another process has taken the memory meanwhile
      return std::nullopt;
    }
    RunFirst(point, *executor);
    if (executor->can_capture()) executor->Capture();
    return TimePasses(*executor, environment_, CommKind::kThread,
                      {.n_steps = options_.n_steps, .num_warmup_steps = options_.num_warmup_steps});
  }

  // One pass, whose output must be finite.
  void RunFirst(const GridPoint& point, Executor& executor) {
    bool is_finite = true;
    const auto check = [&](const Unit&, const Tensor& rows) {
      for (const double value : ReadTensor(device_, rows)) is_finite &= std::isfinite(value);
    };
    const Observer observer = {.output = check, .input_gradient = nullptr};
    executor.set_observer(&observer);
    executor.RunStep();
    executor.set_observer(nullptr);
    if (is_finite) return;
    throw Error(fmt::format("{}: the output is not finite; it was not timed", NameOf(point)));
  }

  const RankEnvironment& environment_;
  Device& device_;
  const GridSearchOptions& options_;
  double ceiling_flops_per_s_;
  GridValues values_;
  RankWeights weights_;  // shared by the points of one hidden_size
  int64_t hidden_size_ = 0;
};

// Measures the points that are not known yet, in their order.
void MeasureMissing(const std::vector<GridPoint>& points, const GridSearchOptions& options,
                    const GridConditions& conditions, Search& search, ResultsFile* file,
                    Known* known) {
  Progress progress(points.size(), search.best_s_per_flop());
  std::map<GridPoint, double> planned_flops;
  for (const GridPoint& point : points) {
    if (known->contains(point) || !search.Fits(point)) continue;
    planned_flops[point] = static_cast<double>(FlopsOf(point, options.stack));
    progress.Plan(planned_flops[point]);
  }
  for (const GridPoint& point : points) {
    if (known->contains(point)) {
      progress.Skip();
      continue;
    }
    const Clock::time_point begin = Clock::now();
    const GridRecord record = known->emplace(point, search.Measure(point)).first->second;
    file->Append(FormatRecord(conditions, record));
    const std::chrono::duration<double> elapsed = Clock::now() - begin;
    progress.Show(record, planned_flops[point], elapsed.count());
  }
}

}  // namespace

std::vector<GridPoint> PointsOf(const GridAxes& axes, const GridStack& stack) {
  const int64_t num_points =
      CheckedProduct("the number of points", {static_cast<int64_t>(axes.hidden_sizes.size()),
                                              static_cast<int64_t>(axes.num_layers.size()),
                                              static_cast<int64_t>(axes.seq_lens.size()),
                                              static_cast<int64_t>(axes.prefix_factors.size())});
  if (num_points > kMaxPoints) {
    throw Error(
        fmt::format("the axes make {} points; at most {} are allowed", num_points, kMaxPoints));
  }
  std::vector<GridPoint> points;
  for (const int64_t hidden_size : axes.hidden_sizes) {
    if (hidden_size % stack.head_dim != 0) {
      throw Error(fmt::format("hidden_size {} is not divisible by head_dim {}", hidden_size,
                              stack.head_dim));
    }
    for (const int64_t num_layers : axes.num_layers) {
      for (const int64_t seq_len : axes.seq_lens) {
        for (const int64_t factor : axes.prefix_factors) {
          points.push_back({.num_layers = num_layers,
                            .hidden_size = hidden_size,
                            .seq_len = seq_len,
                            .prefix_len = CheckedProduct("prefix_len", {factor, seq_len})});
          FlopsOf(points.back(), stack);
        }
      }
    }
  }
  return points;
}

GridConditions ConditionsOf(const GridSearchOptions& options) {
  GridConditions conditions = {{"program", options.program}};
  for (const auto& [key, value] : BuildContext()) conditions.emplace_back(key, value);
  const Backend backend = MakeBackend(options.backend);
  conditions.emplace_back("device", Name(options.backend.kind));
  conditions.emplace_back("device_name", backend.device->description());
  conditions.emplace_back("dtype", Name(options.backend.precision));
  const auto add = [&](const char* key, auto value) {
    conditions.emplace_back(key, fmt::format("{}", value));
  };
  add("threads", options.backend.num_threads);
  add("batch_size", options.stack.batch_size);
  add("head_dim", options.stack.head_dim);
  add("n_steps", options.n_steps);
  add("n_warmup_steps", options.num_warmup_steps);
  add("seed", options.stack.seed);
  return conditions;
}

std::vector<GridRecord> SearchGrid(const std::vector<GridPoint>& points,
                                   const GridSearchOptions& options) {
  const GridConditions conditions = ConditionsOf(options);
  ResultsFile file(options.results_path, options.open_mode);
  Known known = ReadKnown(file, conditions, options.results_path);
  const auto is_known = [&](const GridPoint& point) { return known.contains(point); };
  if (std::all_of(points.begin(), points.end(), is_known)) return RecordsOf(points, known);
  RankStarter ranks({}, /*world=*/nullptr);
  ranks.Run(1, [&](Communicator& world) {
    Backend backend = MakeBackend(options.backend);
    const RankEnvironment environment = {world, world, backend};
    Search search(environment, options);
    MeasureMissing(points, options, conditions, search, &file, &known);
  });
  return RecordsOf(points, known);
}

}  // namespace sluice
