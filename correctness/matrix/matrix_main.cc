// Proves many things with one start of the ranks: every scheme and plan on them, in every
// precision, with both losses, call by call and as graphs; and what their communicator must do.
// Prints a line of JSON for each row (row_judge.h), and {"begin":ROW} before it.

#include <fmt/format.h>

#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/cli/build_info.h"
#include "core/cli/flags.h"
#include "core/cli/main.h"
#include "correctness/matrix/broken_runs.h"
#include "correctness/matrix/matrix_rows.h"
#include "correctness/matrix/rank_station.h"
#include "correctness/matrix/row_judge.h"
#include "correctness/parity/parity_run.h"
#include "parallel/comm/conformance/conformance.h"
#include "parallel/comm/mpi/mpi_communicator.h"
#include "parallel/comm/nccl/device_communicator.h"
#include "parallel/comm/rank_status.h"
#include "programs/comm_flags.h"
#include "programs/gpu_use.h"
#include "programs/rank_starter.h"

SLUICE_FLAG_GROUP("Rows");
SLUICE_TEXT_FLAG(rows, ".", "run the rows whose names match this regular expression");
SLUICE_BOOL_FLAG(list, false, "print the names of the rows, and run none");
SLUICE_BOOL_FLAG(all, false,
                 "include the optional rows, which add little coverage: all precisions with both "
                 "losses, and graphs on any number of ranks");
SLUICE_NUMBER_FLAG(budget_s, 1e6, 1, 1e6, "time in seconds after which no further row starts");
SLUICE_INT_FLAG(num_replays, 50, 1, 1'000'000, "replays of each graph");
SLUICE_CHOICE_FLAG(disagreement, "", sluice::DisagreementNames(),
                   "instead of rows, run a job whose ranks disagree in this way");
SLUICE_CHOICE_FLAG(broken_by, "", sluice::BreakNames(),
                   "instead of rows, break a rank in this way during a step of the first row");
SLUICE_INT_FLAG(broken_rank, 1, 0, sluice::kMaxRanks, "rank that breaks, with --broken_by");

namespace sluice {
namespace {

constexpr const char* kConformance = "conformance/";

// What a start of the ranks proves, in order.
struct Row {
  std::string name;
  std::function<void(RankStation&, RowJudge&)> run;
};

double NowSeconds() { return static_cast<double>(MonotonicNs()) * 1e-9; }

void RunConformance(const ConformanceCase& test, RankStation& station, RowJudge& judge) {
  const double begin_s = NowSeconds();
  station.Staged().SetPosition({.label = test.name});
  // Throws what it finds, which ends all ranks.
  test.run(station.Staged());
  if (station.world().rank() != 0) return;
  judge.Report(kConformance + std::string(test.name), "", NowSeconds() - begin_s);
}

void RunParity(const MatrixRow& row, RankStation& station, RowJudge& judge) {
  const double begin_s = NowSeconds();
  JobPlan plan = PlanJob(row.config);
  if (row.kind == RowKind::kDroppedLayer) plan.layers_of_stage.back().num_layers -= 1;
  std::vector<ResultTensor> actual = RunOnRank(plan, station.Of(row.config.precision));
  if (station.world().rank() != 0) return;
  judge.Compare(row, std::move(actual), NowSeconds() - begin_s);
}

void RunGraph(const MatrixRow& row, RankStation& station, RowJudge& judge) {
  const double begin_s = NowSeconds();
  std::string difference = FindReplayDifference(
      PlanJob(row.config), station.Of(row.config.precision), static_cast<int>(FLAGS_num_replays));
  int64_t num_differing = difference.empty() ? 0 : 1;
  station.world().AllReduce({&num_differing, 1, ControlType::kInt64}, ReduceOp::kSum);
  if (station.world().rank() != 0) return;
  if (num_differing > 0 && difference.empty()) {
    difference = fmt::format("replays differ on {} other ranks", num_differing);
  }
  judge.Report(row.name, difference, NowSeconds() - begin_s);
}

// The cases connect each rank with each other, which takes long where many ranks share a GPU.
constexpr int kMaxConformanceRanks = 4;

std::vector<Row> ConformanceRows(int num_ranks, DeviceKind device) {
  std::vector<Row> rows;
  if (num_ranks > kMaxConformanceRanks) return rows;
  for (const ConformanceCase& test : ConformanceCases()) {
    if (test.of == ConformanceCase::Of::kCpu && device != DeviceKind::kCpu) continue;
    rows.push_back(
        {kConformance + std::string(test.name),
         [&test](RankStation& station, RowJudge& judge) { RunConformance(test, station, judge); }});
  }
  return rows;
}

// What schemes stand on comes first.
std::vector<Row> AllRows(int num_ranks, DeviceKind device) {
  std::vector<Row> rows = ConformanceRows(num_ranks, device);
  for (const MatrixRow& row : MatrixRows(num_ranks, device)) {
    if (row.is_optional && !FLAGS_all) continue;
    const auto run = row.kind == RowKind::kGraph ? RunGraph : RunParity;
    rows.push_back({row.name, [row, run](RankStation& station, RowJudge& judge) {
                      run(row, station, judge);
                    }});
  }
  return rows;
}

template <typename T>
std::vector<T> Selected(std::vector<T> rows) {
  std::regex pattern;
  try {
    pattern = std::regex(FLAGS_rows);
  } catch (const std::regex_error& error) {
    throw Error(
        fmt::format("--rows '{}' is not a regular expression: {}", FLAGS_rows, error.what()));
  }
  std::erase_if(rows, [&](const T& row) { return !std::regex_search(row.name, pattern); });
  if (rows.empty()) {
    throw Error(fmt::format("--rows '{}' matches no row{}", FLAGS_rows,
                            FLAGS_all ? "" : "; --all has more rows"));
  }
  return rows;
}

// Whether rank 0 has time for another row.
bool MayBegin(Communicator& world, double begin_s) {
  int64_t may_begin = NowSeconds() - begin_s < FLAGS_budget_s ? 1 : 0;
  world.Broadcast({&may_begin, 1, ControlType::kInt64}, 0);
  return may_begin != 0;
}

void PrintName(const char* key, const std::string& row) {
  fmt::print("{}\n", nlohmann::json{{key, row}}.dump());
  std::fflush(stdout);
}

// Under what conditions rows are proven: {"context":{"program_commit":...,"nccl":"2.28.9",...}}.
void PrintContext(RankStation& station, DeviceKind device) {
  const BuildInfo& build = GetBuildInfo();
  nlohmann::ordered_json context = {{"program_commit", build.commit + " " + build.tree},
                                    {"compiler", build.compiler}};
  if (device == DeviceKind::kCuda) {
    context["nccl"] = NcclVersionText(NcclVersion());
    context["device_name"] = station.Of(Precision::kFloat32).backend.device->description();
  }
  if (station.world().rank() != 0) return;
  fmt::print("{}\n", nlohmann::ordered_json{{"context", context}}.dump());
}

// Returns whether all rows that were run passed, on rank 0.
bool RunRows(const std::vector<Row>& rows, DeviceKind device, RankStation& station) {
  const double begin_s = NowSeconds();
  const bool is_first = station.world().rank() == 0;
  PrintContext(station, device);
  RowJudge judge;
  for (const Row& row : rows) {
    const bool may_begin = MayBegin(station.world(), begin_s);
    if (is_first) PrintName(may_begin ? "begin" : "left_out", row.name);
    if (!may_begin) continue;
    row.run(station, judge);
    judge.PrintJudged();
  }
  return judge.Finish();
}

int WorldSizeFrom(const CommRequest& request) {
  CheckIsBuilt(request.kind);
  constexpr int kDefault = 2;
  return RanksAreProcesses(request.kind) ? LaunchedWorldSize(request)
                                         : request.world_size.value_or(kDefault);
}

// What every rank does.
std::function<bool(RankStation&)> WorkFromFlags(int world_size, DeviceKind device) {
  RefuseTogether({"disagreement", "broken_by"});
  if (WasGiven("disagreement")) {
    return [](RankStation& station) {
      RunDisagreement(station, FLAGS_disagreement);
      return false;
    };
  }
  if (WasGiven("broken_by")) {
    const MatrixRow row = Selected(MatrixRows(world_size, device)).front();
    const BrokenRank broken = {.rank = static_cast<int>(FLAGS_broken_rank),
                               .how = FLAGS_broken_by,
                               .is_captured = row.kind == RowKind::kGraph};
    return [row, broken](RankStation& station) {
      RunBroken(station, row, broken);
      return false;
    };
  }
  return [rows = Selected(AllRows(world_size, device)), device](RankStation& station) {
    return RunRows(rows, device, station);
  };
}

int Run() {
  const CommRequest request = CommFromFlags();
  const int world_size = WorldSizeFrom(request);
  const auto work = WorkFromFlags(world_size, DeviceOf(request.kind));
  if (FLAGS_list) {
    if (RanksAreProcesses(request.kind) && MpiRank() != 0) return 0;
    for (const Row& row : Selected(AllRows(world_size, DeviceOf(request.kind)))) {
      fmt::print("{}\n", row.name);
    }
    return 0;
  }
  return RunWithRanks(request.kind, request.options, [&](RankStarter& ranks) {
    if (request.gpu_use == GpuUse::kShared) CheckSharesGpu(*ranks.world());
    bool has_passed = true;
    ranks.Run(world_size, [&](Communicator& world) {
      RankStation station(world, request);
      const bool is_good = work(station);
      if (world.rank() == 0) has_passed = is_good;
    });
    return has_passed ? 0 : 1;
  });
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::Main(
      argc, argv,
      {.purpose = "Checks every scheme, layer plan and precision on the ranks of one job.",
       .example = "tools/launch/launch --ranks_per_gpu=4 -- //correctness/matrix --comm=nccl"},
      sluice::Run);
}
