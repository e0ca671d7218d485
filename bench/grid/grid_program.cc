#include "bench/grid/grid_program.h"

#include <fmt/format.h>

#include <filesystem>
#include <vector>

#include "bench/grid/axis.h"
#include "bench/grid/figure.h"
#include "bench/grid/grid_report.h"
#include "bench/grid/grid_search.h"
#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/cli/flags.h"
#include "core/cli/user_path.h"
#include "programs/shared_flags.h"

namespace sluice {
namespace {

constexpr IntegerRange kExtent = {1, kMaxExtent};
constexpr IntegerRange kFactor = {0, 1 << 20};

}  // namespace
}  // namespace sluice

SLUICE_TEXT_FLAG_OF(num_layers, "", sluice::AxisFlag(sluice::kExtent), "layers of the stack");
SLUICE_TEXT_FLAG_OF(hidden_sizes, "", sluice::AxisFlag(sluice::kExtent), "features of a token");
SLUICE_TEXT_FLAG_OF(seq_lens, "", sluice::AxisFlag(sluice::kExtent), "positions to compute");
SLUICE_TEXT_FLAG_OF(prefix_factors, "", sluice::AxisFlag(sluice::kFactor),
                    "cached positions before them, as multiples of seq_len");
SLUICE_DEVICE_FLAG();
SLUICE_DTYPE_FLAG("f32", "");
SLUICE_THREADS_FLAG("all cores");
SLUICE_BATCH_SIZE_FLAG();
SLUICE_INT_FLAG(head_dim, 64, 1, sluice::kMaxExtent, "features of an attention head");
SLUICE_SEED_FLAG();
SLUICE_N_STEPS_FLAG(5, "timed forwards of each point, after an untimed one");
SLUICE_TEXT_FLAG(out, "",
                 "NAME of the output files NAME.jsonl and NAME.svg (default: the "
                 "program's name, in the working directory)");
SLUICE_BOOL_FLAG(resume, false, "continue the search whose results are in NAME.jsonl");

namespace sluice {
namespace {

GridAxes AxesFromFlags(const AxisTexts& defaults) {
  const auto axis = [](const char* flag, const std::string& value, const std::string& otherwise,
                       IntegerRange range) {
    return ParseAxis(std::string("--") + flag, WasGiven(flag) ? value : otherwise, range);
  };
  return {.num_layers = axis("num_layers", FLAGS_num_layers, defaults.num_layers, kExtent),
          .hidden_sizes = axis("hidden_sizes", FLAGS_hidden_sizes, defaults.hidden_sizes, kExtent),
          .seq_lens = axis("seq_lens", FLAGS_seq_lens, defaults.seq_lens, kExtent),
          .prefix_factors =
              axis("prefix_factors", FLAGS_prefix_factors, defaults.prefix_factors, kFactor)};
}

BackendOptions BackendFromFlags(Precision precision) {
  BackendOptions backend = {.kind = ParseDevice(FLAGS_device), .precision = precision};
  CheckThreadsFlag(backend.kind);
  CheckSupported(backend);
  if (backend.kind != DeviceKind::kCpu) return backend;
  backend.num_threads =
      WasGiven("threads") ? static_cast<int>(FLAGS_threads) : NumDevices(DeviceKind::kCpu);
  return backend;
}

// A file name without extension, perhaps behind a folder; `.` would make the files `..jsonl` and
// `..svg`.
void CheckOutName(const std::string& name) {
  const std::string file = std::filesystem::path(name).filename();
  if (!file.empty() && file != "." && file != "..") return;
  throw Error(fmt::format("--out '{}' names a folder; it must name files in one", name));
}

int Run(const GridProgramInfo& info) {
  const Precision precision = ParsePrecision(FLAGS_dtype);
  if (WasGiven("out")) CheckOutName(FLAGS_out);
  const std::string out = UserPath(WasGiven("out") ? FLAGS_out : info.name);
  const GridSearchOptions options = {
      .program = info.name,
      .backend = BackendFromFlags(precision),
      .stack = {.precision = precision,
                .batch_size = FLAGS_batch_size,
                .head_dim = FLAGS_head_dim,
                .seed = static_cast<uint64_t>(FLAGS_seed)},
      .n_steps = FLAGS_n_steps,
      .results_path = out + ".jsonl",
      .open_mode = FLAGS_resume ? OpenMode::kResume : OpenMode::kNew};
  const AxisTexts& defaults = FLAGS_device == "cpu" ? info.cpu : info.cuda;
  const std::vector<GridPoint> points = PointsOf(AxesFromFlags(defaults), options.stack);
  const std::string picture_path = out + ".svg";
  CheckWritable(picture_path);

  const GridConditions conditions = ConditionsOf(options);
  fmt::print(stderr, "{}\n{} points; results go to {}\n", ConditionsText(conditions), points.size(),
             options.results_path);
  const std::vector<GridRecord> records = SearchGrid(points, options);
  fmt::print("{}\n{}", ConditionsText(conditions), GridTable(records));
  WriteFileAtomically(picture_path, FigureSvg(GridFigure(info.title, conditions, records)));
  fmt::print("\nresults: {}\npicture: {}\n", options.results_path, picture_path);
  return 0;
}

}  // namespace

int GridProgram(int argc, char** argv, const GridProgramInfo& info) {
  return Main(argc, argv, info.program, [&info] { return Run(info); });
}

}  // namespace sluice
