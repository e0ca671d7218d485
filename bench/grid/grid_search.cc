#include "bench/grid/grid_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>

#include "bench/grid/time_left.h"
#include "bench/harness/ceiling.h"
#include "bench/harness/flops.h"
#include "bench/harness/median.h"
#include "bench/harness/run_benchmarks.h"
#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "parallel/exec/initialize.h"

namespace sluice {
namespace {

constexpr int64_t kMaxPoints = 1'000'000;

using Known = std::map<GridPoint, GridRecord>;

std::string NameOf(const GridPoint& point) {
  return fmt::format("num_layers {}, hidden_size {}, seq_len {}, prefix_len {}", point.num_layers,
                     point.hidden_size, point.seq_len, point.prefix_len);
}

int64_t FlopsOf(const GridPoint& point, const ForwardStackOptions& options) {
  const JobConfig config = ForwardStack::PlanOf(point, options).config;
  return ForwardFlops(config.model, config.batch_size, {point.prefix_len, point.seq_len});
}

// What an earlier run left, by point.
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

// One line a point on stderr, with the time that the rest will take.
class Progress {
 public:
  Progress(size_t num_points, double expected_s_per_flop)
      : time_left_(expected_s_per_flop), num_points_(num_points) {}

  // A point that is still to be measured.
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

class Search {
 public:
  explicit Search(const GridSearchOptions& options)
      : options_(options),
        backend_(MakeBackend(options.backend)),
        ceiling_flops_per_s_(MeasureMatmulRate(backend_, options.backend.precision)),
        stack_(backend_, options.stack) {
    // A device that lacks the head_dim says so here, once; what fails later is memory.
    stack_.Prepare({.num_layers = 1, .hidden_size = options.stack.head_dim, .seq_len = 1});
  }

  // Of one point, all its runs together, if it ran as fast as a large square product.
  double best_s_per_flop() const {
    return static_cast<double>(2 + options_.num_warmup_steps + options_.n_steps) /
           ceiling_flops_per_s_;
  }

  bool Fits(const GridPoint& point) { return stack_.NeededBytes(point) <= stack_.AvailableBytes(); }

  GridRecord Measure(const GridPoint& point) {
    GridRecord record = {.point = point, .needed_bytes = stack_.NeededBytes(point)};
    if (!IsPrepared(point)) {
      record.status = PointStatus::kOutOfMemory;
      record.available_bytes = stack_.AvailableBytes();
      return record;
    }
    // As //bench times a step: run once, then captured, so that on cuda a forward is one launch.
    stack_.Run();
    backend_.stream->Synchronize();
    CheckFinite(point);
    const std::unique_ptr<StreamGraph> forward = backend_.stream->Capture([this] { stack_.Run(); });
    Time(*forward, &record);
    record.flops = FlopsOf(point, options_.stack);
    record.ceiling_flops_per_s = ceiling_flops_per_s_;
    return record;
  }

 private:
  bool IsPrepared(const GridPoint& point) {
    if (!Fits(point)) return false;
    try {
      stack_.Prepare(point);
    } catch (const Error&) {  // others took the memory meanwhile
      return false;
    }
    return true;
  }

  void CheckFinite(const GridPoint& point) {
    for (const double value : ReadTensor(*backend_.device, stack_.output())) {
      if (std::isfinite(value)) continue;
      throw Error(fmt::format("{}: the output is not finite; it was not timed", NameOf(point)));
    }
  }

  void Time(StreamGraph& forward, GridRecord* record) {
    const std::unique_ptr<StreamTimer> timer = backend_.stream->MakeTimer();
    for (int64_t i = 0; i < options_.num_warmup_steps; ++i) forward.Launch();
    std::vector<double> ns;
    for (int64_t i = 0; i < options_.n_steps; ++i) {
      timer->Begin();
      forward.Launch();
      timer->End();
      ns.push_back(static_cast<double>(timer->ElapsedNs()));
    }
    record->min_ns = std::llround(*std::min_element(ns.begin(), ns.end()));
    record->median_ns = std::llround(Median(ns));
    record->max_ns = std::llround(*std::max_element(ns.begin(), ns.end()));
  }

  const GridSearchOptions& options_;
  Backend backend_;
  double ceiling_flops_per_s_;
  ForwardStack stack_;
};

}  // namespace

std::vector<GridPoint> PointsOf(const GridAxes& axes, const ForwardStackOptions& options) {
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
    if (hidden_size % options.head_dim != 0) {
      throw Error(fmt::format("hidden_size {} is not divisible by head_dim {}", hidden_size,
                              options.head_dim));
    }
    for (const int64_t num_layers : axes.num_layers) {
      for (const int64_t seq_len : axes.seq_lens) {
        for (const int64_t factor : axes.prefix_factors) {
          points.push_back({.num_layers = num_layers,
                            .hidden_size = hidden_size,
                            .seq_len = seq_len,
                            .prefix_len = CheckedProduct("prefix_len", {factor, seq_len})});
          FlopsOf(points.back(), options);
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
  Search search(options);
  Progress progress(points.size(), search.best_s_per_flop());
  std::map<GridPoint, double> planned_flops;
  for (const GridPoint& point : points) {
    if (is_known(point) || !search.Fits(point)) continue;
    planned_flops[point] = static_cast<double>(FlopsOf(point, options.stack));
    progress.Plan(planned_flops[point]);
  }
  for (const GridPoint& point : points) {
    if (is_known(point)) {
      progress.Skip();
      continue;
    }
    const Clock::time_point begin = Clock::now();
    const GridRecord record = known.emplace(point, search.Measure(point)).first->second;
    file.Append(FormatRecord(conditions, record));
    const std::chrono::duration<double> elapsed = Clock::now() - begin;
    progress.Show(record, planned_flops[point], elapsed.count());
  }
  return RecordsOf(points, known);
}

}  // namespace sluice
