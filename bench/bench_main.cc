// The main job, //bench: every scheme on the same work, the fastest first.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "bench/comparison/comparison_rows.h"
#include "bench/comparison/comparison_table.h"
#include "bench/harness/result_flags.h"
#include "bench/harness/step_output_flags.h"
#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/cli/main.h"
#include "programs/job_flags.h"
#include "programs/scheme_choices.h"
#include "programs/shared_flags.h"

SLUICE_FLAG_GROUP("Measurement");
SLUICE_TEXT_FLAG(schemes, "all", "schemes to compare, separated by commas, or all");
SLUICE_CHOICE_FLAG(pass, "step", (std::vector<std::string>{"forward", "step"}),
                   "the forward alone, or forward and backward");
SLUICE_BOOL_FLAG(verbose, false, "also print tables of communication and of memory by purpose");
SLUICE_N_STEPS_FLAG(4, "timed passes of each scheme");
SLUICE_WARMUP_S_FLAG("seconds of warm-up before the timed passes of each scheme, at least");

namespace sluice {
namespace {

// Independent of the machine, so that rows and their names are the same everywhere.
constexpr int kWorldSize = 2;
constexpr int64_t kBatchSize = 4;

std::vector<std::string> SchemesFromFlags() {
  const std::vector<std::string> known = SchemeNames();
  if (FLAGS_schemes == "all") return known;
  std::vector<std::string> schemes;
  for (size_t begin = 0; begin <= FLAGS_schemes.size();) {
    const size_t end = std::min(FLAGS_schemes.find(',', begin), FLAGS_schemes.size());
    schemes.push_back(FLAGS_schemes.substr(begin, end - begin));
    begin = end + 1;
    if (std::ranges::find(known, schemes.back()) == known.end()) {
      throw Error(UnknownName("--schemes", schemes.back(), known));
    }
    if (std::ranges::count(schemes, schemes.back()) > 1) {
      throw Error(fmt::format("--schemes={} names {} twice", FLAGS_schemes, schemes.back()));
    }
  }
  return schemes;
}

// A scheme without an axis of its own runs on one rank, which has as many threads as each rank of
// the other schemes.
bool HasOneRank(const std::string& scheme) { return FindSchemeChoice(scheme)->own_axis == nullptr; }

Job JobOf(const std::string& scheme, const Workload& workload) {
  Job job = JobFromFlags(workload, {.scheme = HasOneRank(scheme) ? "gpipe" : scheme,
                                    .default_world_size = kWorldSize});
  if (HasOneRank(scheme)) {
    if (RanksAreProcesses(job.comm)) {
      throw Error("it has one rank, and a launcher has started several");
    }
    job.scheme = scheme;
    job.config.scheme = FindSchemeChoice(scheme)->scheme->name;
    job.config.sizes = {};
  }
  job.world_size_requested = true;
  job.config.pass = FLAGS_pass == "step" ? Pass::kStep : Pass::kForward;
  return job;
}

GivenNumbers NumbersFromFlags(const JobConfig& config) {
  GivenNumbers given;
  if (WasGiven("num_micro_batches")) given.num_micro_batches = config.num_micro_batches;
  if (WasGiven("n_slices")) given.num_slices = static_cast<int>(config.slices.size());
  if (WasGiven("num_chunks")) given.num_chunks = config.num_chunks;
  return given;
}

Comparison ComparisonFromFlags() {
  if (WasGiven("scheme")) throw Error("--scheme is not a flag of //bench; use --schemes");
  if (WasGiven("schedule_file")) {
    throw Error("--schedule_file is not a flag of //bench; use //bench:from_file");
  }
  if (WasGiven("slices")) throw Error("--slices is not a flag of //bench; use --n_slices");
  Workload workload = WorkloadFromFlags(Precision::kFloat32);
  if (!WasGiven("batch_size")) workload.batch_size = kBatchSize;
  std::vector<Job> jobs;
  std::vector<LeftOut> left_out;
  for (const std::string& scheme : SchemesFromFlags()) {
    try {
      jobs.push_back(JobOf(scheme, workload));
    } catch (const Error& error) {
      left_out.push_back({scheme, error.what()});
    }
  }
  Comparison comparison =
      CompareSchemes(jobs, jobs.empty() ? GivenNumbers() : NumbersFromFlags(jobs.front().config),
                     {.n_steps = FLAGS_n_steps, .warmup_s = FLAGS_warmup_s});
  std::ranges::copy(left_out, std::back_inserter(comparison.left_out));
  if (comparison.rows.empty()) {
    const LeftOut& first = comparison.left_out.front();
    const bool is_one_reason = std::ranges::all_of(
        comparison.left_out, [&](const LeftOut& l) { return l.reason == first.reason; });
    if (is_one_reason) throw Error(first.reason);
    throw Error(fmt::format("no scheme can run this work; {}: {}", first.scheme, first.reason));
  }
  return comparison;
}

int Run() {
  const Comparison comparison = ComparisonFromFlags();
  std::vector<SchemeBenchmark> benchmarks;
  for (const ComparisonRow& row : comparison.rows) benchmarks.push_back(row.benchmark);
  std::vector<MeasuredRow> measured;
  const auto on_measured = [&](const SchemeBenchmark& benchmark, const Measurement& m) {
    const auto row = std::ranges::find(comparison.rows, benchmark.job.scheme,
                                       [](const auto& r) { return r.benchmark.job.scheme; });
    measured.push_back({*row, m});
    fmt::print(stderr, "{} of {}: {} {:.2f} ms\n", measured.size(), benchmarks.size(),
               LabelOf(benchmark), m.median_s * 1e3);
  };
  const int exit_code =
      RunSelected(benchmarks, ResultOptionsFromFlags(), StepOutputsFromFlags(), on_measured);
  if (!measured.empty()) {
    fmt::print("\n{}", ComparisonText(measured, comparison.left_out));
    if (FLAGS_verbose) fmt::print("\n{}", VerboseText(measured));
  }
  return exit_code;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::Main(argc, argv,
                      {.purpose = "Compares all schemes on the same model, batch and sequence.",
                       .example = "bazel run //bench -- --model=gpt2-1hm --num_layers=4"},
                      sluice::Run);
}
