// Shows, checks and simulates schedules without running them: //tools/schedule.
#include "core/cli/main.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/timeline/step_figure.h"
#include "bench/timeline/timed_step.h"
#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/cli/flags.h"
#include "parallel/schedule/communication.h"
#include "parallel/schedule/find_error.h"
#include "parallel/schedule/schedule_file.h"
#include "parallel/schedule/schedule_picture.h"
#include "parallel/schedule/schedule_text.h"
#include "parallel/schedule/simulate.h"
#include "parallel/schemes/golden_text.h"
#include "parallel/schemes/schemes.h"
#include "programs/flag_names.h"

namespace sluice {
namespace {

constexpr int64_t kMaxCount = 1 << 22;
constexpr double kMaxMs = 1e9;

std::vector<std::string> NamesOfSchemes() {
  std::vector<std::string> names;
  for (const Scheme& scheme : Schemes()) names.emplace_back(scheme.name);
  return names;
}

}  // namespace
}  // namespace sluice

SLUICE_CHOICE_FLAG(scheme, "one_f_one_b", sluice::NamesOfSchemes(), "the scheme to build");
SLUICE_INPUT_PATH_FLAG(
    schedule_file,
    "file with a schedule, instead of --scheme, in the text form or in PyTorch's CSV");
SLUICE_INT_FLAG(pipeline_parallel_size, 4, 1, sluice::kMaxCount, "ranks");
SLUICE_INT_FLAG(num_micro_batches, 4, 1, sluice::kMaxCount, "micro-batches");
SLUICE_INT_FLAG(n_slices, 1, 1, sluice::kMaxCount, "slices of the sequence");
SLUICE_INT_FLAG(num_chunks, 1, 1, sluice::kMaxCount, "stages on each rank");
SLUICE_CHOICE_FLAG(pass, "step", (std::vector<std::string>{"forward", "step"}),
                   "the forward alone, or forward and backward");
SLUICE_CHOICE_FLAG(format, "picture", (std::vector<std::string>{"picture", "text", "svg"}),
                   "show: characters, the text form, or an SVG picture");
SLUICE_NUMBER_FLAG(forward_ms, 1, 0, sluice::kMaxMs, "time of a unit's forward");
SLUICE_NUMBER_FLAG(input_gradient_ms, 1, 0, sluice::kMaxMs, "time of a unit's input gradient");
SLUICE_NUMBER_FLAG(weight_gradient_ms, 1, 0, sluice::kMaxMs, "time of a unit's weight gradient");
SLUICE_NUMBER_FLAG(message_ms, 0, 0, sluice::kMaxMs, "time of a message between two ranks");

namespace sluice {
namespace {

// With communication, which is added if the file has none.
Schedule ScheduleFromFile() {
  Schedule schedule = ReadScheduleFile(FLAGS_schedule_file);
  if (!HasCommunication(schedule)) CheckAsWritten(schedule, FLAGS_schedule_file);
  return WithCommunication(std::move(schedule));
}

Schedule ScheduleFromFlags() {
  RefuseTogether({"scheme", "schedule_file"});
  if (WasGiven("schedule_file")) {
    for (const char* flag :
         {"pipeline_parallel_size", "num_micro_batches", "n_slices", "num_chunks", "pass"}) {
      RefuseTogether({"schedule_file", flag});
    }
    Schedule schedule = ScheduleFromFile();
    CheckAsWritten(schedule, FLAGS_schedule_file);
    return schedule;
  }
  const ScheduleShape shape = {.num_ranks = static_cast<int>(FLAGS_pipeline_parallel_size),
                               .num_micro_batches = static_cast<int>(FLAGS_num_micro_batches),
                               .num_slices = static_cast<int>(FLAGS_n_slices),
                               .num_chunks = static_cast<int>(FLAGS_num_chunks),
                               .pass = FLAGS_pass == "step" ? Pass::kStep : Pass::kForward};
  return MakeWithFlagNames(
      [&] { return AddCommunication(BuildSchedule(FindScheme(FLAGS_scheme), shape)); });
}

double ComputeSeconds(const Op& compute) {
  switch (compute.kind) {
    case OpKind::kForward:
      return FLAGS_forward_ms * 1e-3;
    case OpKind::kBackwardInput:
      return FLAGS_input_gradient_ms * 1e-3;
    case OpKind::kBackwardWeight:
      return FLAGS_weight_gradient_ms * 1e-3;
    default:
      return (FLAGS_input_gradient_ms + FLAGS_weight_gradient_ms) * 1e-3;
  }
}

// A unit's activation counts as 1 byte.
Simulation SimulateFromFlags(const Schedule& schedule) {
  return Simulate(
      schedule, {.compute_s = ComputeSeconds,
                 .link = [](const Edge&) { return LinkCost{.latency_s = FLAGS_message_ms * 1e-3}; },
                 .activation_bytes = [](const Unit&) { return int64_t{1}; }});
}

std::string TitleOf(const Schedule& schedule) {
  std::string title = WasGiven("schedule_file") ? "schedule of a file" : FLAGS_scheme;
  title += fmt::format(", {} ranks, {} stages, {} micro-batches", schedule.num_ranks,
                       schedule.num_stages, schedule.num_micro_batches);
  if (schedule.num_slices > 1) title += fmt::format(", {} slices", schedule.num_slices);
  return title;
}

std::string GivenCosts() {
  return fmt::format(
      "given: forward {} ms, input gradient {} ms, weight gradient {} ms, message {} ms",
      FLAGS_forward_ms, FLAGS_input_gradient_ms, FLAGS_weight_gradient_ms, FLAGS_message_ms);
}

std::string Svg(const Schedule& schedule) {
  std::vector<LayerRange> layers_of_stage(static_cast<size_t>(schedule.num_stages));
  return StepFigureSvg(
      {{.title = fmt::format("{} ({}, 1 MiB kept per unit)", TitleOf(schedule), GivenCosts()),
        .schedule = schedule,
        .layers_of_stage = std::move(layers_of_stage),
        .activation_bytes = [](const Unit&) { return int64_t{1} << 20; },
        .message_bytes_of_slice = std::vector<int64_t>(static_cast<size_t>(schedule.num_slices)),
        .predicted = PredictedTimeline(SimulateFromFlags(schedule)),
        .measured = std::nullopt}});
}

int Show() {
  const Schedule schedule = ScheduleFromFlags();
  if (FLAGS_format == "text") {
    fmt::print("{}", FormatSchedule(schedule));
  } else if (FLAGS_format == "svg") {
    fmt::print("{}", Svg(schedule));
  } else {
    fmt::print("{}", SchedulePicture(schedule));
  }
  return 0;
}

int Check() {
  if (!WasGiven("schedule_file")) throw Error("check needs --schedule_file, the file to check");
  const Schedule schedule = ScheduleFromFile();
  if (const auto error = FindError(schedule)) {
    fmt::print("FAIL: {}\n", *error);
    return 1;
  }
  size_t num_ops = 0;
  for (const std::vector<Op>& ops : schedule.ops_of_rank) num_ops += ops.size();
  fmt::print("PASS: {}, {} ops with messages: every unit once, no deadlock\n", TitleOf(schedule),
             num_ops);
  return 0;
}

int SimulateAndPrint() {
  const Schedule schedule = ScheduleFromFlags();
  const Simulation simulation = SimulateFromFlags(schedule);
  fmt::print("{}\n{} per unit\n", TitleOf(schedule), GivenCosts());
  fmt::print("step {:.3f} ms, bubble {:.1f} %\n", simulation.makespan_s * 1e3,
             100 * simulation.bubble_fraction);
  constexpr int kMaxRows = 64;
  fmt::print("{:>8} {:>12} {:>12} {:>12} {:>12} {:>16}\n", "rank", "start ms", "end ms", "busy ms",
             "idle ms", "peak activations");
  const int num_rows = std::min(schedule.num_ranks, kMaxRows);
  for (int rank = 0; rank < num_rows; ++rank) {
    const RankUsage& usage = simulation.ranks[static_cast<size_t>(rank)];
    fmt::print("{:>8} {:>12.3f} {:>12.3f} {:>12.3f} {:>12.3f} {:>10} units\n", rank,
               usage.start_s * 1e3, usage.end_s * 1e3, usage.busy_s * 1e3, usage.idle_s * 1e3,
               usage.peak_activation_bytes);
  }
  if (num_rows < schedule.num_ranks) fmt::print("... and {} more\n", schedule.num_ranks - num_rows);
  return 0;
}

int Golden() {
  RefuseTogether({"scheme", "schedule_file"});
  fmt::print("{}", GoldenText(FindScheme(FLAGS_scheme)));
  return 0;
}

struct Command {
  std::string_view name;
  int (*run)();
};
constexpr Command kCommands[] = {
    {"show", Show}, {"check", Check}, {"simulate", SimulateAndPrint}, {"golden", Golden}};

int Run(std::string_view name) {
  std::vector<std::string> names;
  for (const Command& command : kCommands) {
    if (command.name == name) return command.run();
    names.emplace_back(command.name);
  }
  throw Error(name.empty() ? "no command is given; known: show, check, simulate, golden"
                           : UnknownName("command", name, names));
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  // The command comes before the flags.
  const bool has_command = argc > 1 && argv[1][0] != '-';
  const std::string_view command = has_command ? argv[1] : "";
  std::vector<char*> arguments(argv, argv + argc);
  if (has_command) arguments.erase(arguments.begin() + 1);
  return sluice::Main(
      static_cast<int>(arguments.size()), arguments.data(),
      {.purpose =
           "Shows a schedule (show), checks one from a file (check), simulates one with given "
           "costs (simulate), or prints the golden text of a scheme (golden).",
       .example =
           "bazel run //tools/schedule -- show --scheme=zero_bubble_h1 --num_micro_batches=8"},
      [command] { return sluice::Run(command); });
}
