#include "bench/harness/scheme_benchmark.h"

#include <gflags/gflags.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "bench/harness/ceilings_flag.h"
#include "core/base/error.h"
#include "core/device/cpu/cpu_device.h"
#include "core/model/model_config.h"
#include "parallel/schedule/slices.h"

namespace sluice {
namespace {

JobConfig Small() {
  JobConfig config;
  config.model = FindModel("test");
  config.model.num_layers = 5;
  config.model.seq_len = 8;
  config.scheme = "seqpipe";
  config.pass = Pass::kForward;
  config.slices = UniformSlices(8, 2);
  config.sizes = {.pipeline = 2};
  return config;
}

SchemeBenchmark BenchmarkOf(const JobConfig& config) {
  return {{.scheme = config.scheme, .config = config}, PlanJob(config), {.n_steps = 1}};
}

TEST(NameOf, TellsApartWhatIsTimedDifferently) {
  std::vector<JobConfig> configs(5, Small());
  configs[1].slices = ParseSlices("6,2", 8);
  configs[2].prefix_len = 3;
  configs[3].sizes = {.pipeline = 2, .tensor = 2};
  configs[4].sizes = {.pipeline = 2, .tensor = 2};
  configs[4].plan = PlanKind::kMegatronSequenceParallel;
  std::set<std::string> names;
  for (const JobConfig& config : configs) names.insert(NameOf(BenchmarkOf(config)));
  EXPECT_EQ(names.size(), configs.size());
  EXPECT_THAT(NameOf(BenchmarkOf(configs[1])), testing::HasSubstr("/slices:6+2/"));
  EXPECT_THAT(NameOf(BenchmarkOf(configs[0])), testing::HasSubstr("/n_slices:2/"));
}

TEST(LabelOf, HoldsEveryNumberThatIsNotTheDefault) {
  EXPECT_EQ(LabelOf(BenchmarkOf(Small())), "seqpipe num_layers=5 seq_len=8 n=2");
  JobConfig config = Small();
  config.batch_size = 6;
  config.num_micro_batches = 3;
  config.slices = ParseSlices("6,2", 8);
  config.prefix_len = 3;
  config.sizes = {.pipeline = 2, .tensor = 2};
  config.plan = PlanKind::kMegatronSequenceParallel;
  EXPECT_EQ(LabelOf(BenchmarkOf(config)),
            "seqpipe num_layers=5 seq_len=8 t=2 b=6 m=3 slices=6+2 plan=megatron_sequence_parallel "
            "prefix_len=3");
}

TEST(NameOf, HasEachConditionThatIsNotTheDefault) {
  const auto name_of = [](const Job& job) { return NameOf({job, PlanJob(job.config), {}}); };
  Job plain = {.scheme = "single"};
  plain.config.model = FindModel("test");
  EXPECT_EQ(name_of(plain), "scheme:single/model:test/world_size:1/device:cpu/dtype:f32/pass:step");
  Job other = plain;
  other.config.model.num_layers = 2;
  other.config.model.hidden_size = 66;
  other.config.model.seq_len = 9;
  other.config.model.num_heads = 3;
  other.config.loss = LossKind::kProjection;
  other.config.seed = 7;
  other.comm = CommKind::kNccl;
  other.gpu_use = GpuUse::kShared;
  other.threads = 3;
  other.threads_requested = true;
  other.attention = CausalAttentionImplementation::kCudnn;
  other.kernels = KernelsChoice::kStandard;
  EXPECT_EQ(name_of(other),
            "scheme:single/model:test/num_layers:2/hidden_size:66/seq_len:9/num_heads:3/"
            "world_size:1/loss:projection/seed:7/comm:nccl/share_gpu:not_a_measurement/"
            "attention:cudnn/kernels:standard/threads:3/device:cpu/dtype:f32/pass:step");
}

TEST(NameOf, LeavesOutWhatTheMachineDecided) {
  Job job = {.scheme = "seqpipe", .config = Small()};
  const auto name = [&] { return NameOf({job, PlanJob(job.config), {}}); };
  EXPECT_THAT(name(), testing::HasSubstr("/world_size:2/"));
  job.world_size_requested = false;
  const std::string of_two_cores = name();
  job.config.sizes = {.pipeline = 5};
  job.threads = 7;
  EXPECT_EQ(name(), of_two_cores);
  EXPECT_THAT(name(), testing::Not(testing::HasSubstr("world_size")));
  job.threads_requested = true;
  EXPECT_THAT(name(), testing::HasSubstr("/threads:7/"));
}

TEST(NameOf, HasTheRequestedPlanWhateverTheNumberOfRanks) {
  Job job = {.scheme = "megatron", .world_size_requested = false};
  job.config.model = FindModel("test");
  job.config.plan = PlanKind::kMegatronSequenceParallel;
  const auto name = [&] { return NameOf({job, PlanJob(job.config), {}}); };
  const std::string of_one_rank = name();
  job.config.sizes = {.tensor = 2};
  EXPECT_EQ(name(), of_one_rank);
}

TEST(NameOf, HasTheTypeOfGradientsWhereItIsNotTheDefaultAndThereAreSome) {
  JobConfig config = Small();
  config.precision = Precision::kBFloat16;
  config.pass = Pass::kStep;
  EXPECT_THAT(NameOf(BenchmarkOf(config)), testing::EndsWith("/dtype:bf16/pass:step"));
  config.grad_dtype = DType::kFloat32;
  EXPECT_THAT(NameOf(BenchmarkOf(config)), testing::EndsWith("/dtype:bf16/pass:step"));
  config.grad_dtype = DType::kBFloat16;
  EXPECT_THAT(NameOf(BenchmarkOf(config)),
              testing::EndsWith("/dtype:bf16/grad_dtype:bf16/pass:step"));
  config.pass = Pass::kForward;
  EXPECT_THAT(NameOf(BenchmarkOf(config)), testing::EndsWith("/dtype:bf16/pass:forward"));
}

TEST(RunSchemeBenchmarks, ContextIsOfWhatTheFilterSelects) {
  JobConfig alone = Small();
  alone.sizes = {};
  alone.batch_size = 3;
  const std::string path = testing::TempDir() + "/result.json";
  RankStarter ranks({}, nullptr);
  const std::vector<SchemeBenchmark> selected =
      Selected({BenchmarkOf(Small()), BenchmarkOf(alone)}, "world_size:2");
  ASSERT_EQ(RunSchemeBenchmarks(selected, {.json_out = path}, {}, ranks), 0);
  const nlohmann::json context = nlohmann::json::parse(std::ifstream(path)).at("context");
  EXPECT_EQ(context.at("world_size"), "2");
  EXPECT_EQ(context.at("batch_size"), "1");
  EXPECT_EQ(context.at("layers_of_stages"), "3+2");
  EXPECT_EQ(context.at("slice_lens"), "2x4");
  EXPECT_EQ(context.at("plan"), "megatron");
  EXPECT_EQ(context.at("comm"), "thread");
}

TEST(RunSchemeBenchmarks, LeavesOutSharesOfACeilingThatIsNotMeasured) {
  const std::string path = testing::TempDir() + "/no_ceilings.json";
  RankStarter ranks({}, nullptr);
  const gflags::FlagSaver saver;
  FLAGS_ceilings = "none";
  const int code = RunSchemeBenchmarks({BenchmarkOf(Small())}, {.json_out = path}, {}, ranks);
  ASSERT_EQ(code, 0);
  const nlohmann::json result = nlohmann::json::parse(std::ifstream(path));
  const nlohmann::json& row = result.at("benchmarks").at(0);
  EXPECT_GT(row.at("flops_per_s_per_rank"), 0);
  EXPECT_GT(row.at("calibration_cpu_ns"), 0);
  EXPECT_FALSE(row.contains("matmul_flops_per_s_per_rank"));
  EXPECT_FALSE(row.contains("share_of_matmul_rate"));
}

// What a run prints on stdout.
std::string RunAndPrint(const SchemeBenchmark& benchmark, const std::string& json_path) {
  RankStarter ranks({}, nullptr);
  testing::internal::CaptureStdout();
  EXPECT_EQ(RunSchemeBenchmarks({benchmark}, {.json_out = json_path}, {}, ranks), 0);
  return testing::internal::GetCapturedStdout();
}

// The row of a small job, and what was printed.
nlohmann::json RowOf(const ParallelSizes& sizes, std::string* out) {
  JobConfig config = Small();
  config.sizes = sizes;
  const std::string path = testing::TempDir() + "/op_times.json";
  *out = RunAndPrint(BenchmarkOf(config), path);
  return nlohmann::json::parse(std::ifstream(path)).at("benchmarks").at(0);
}

TEST(RunSchemeBenchmarks, SaysWhereTheTimeWent) {
  if (NumCores() < 2) GTEST_SKIP() << "two ranks need two cores";
  std::string out;
  const nlohmann::json pipeline = RowOf({.pipeline = 2}, &out);
  EXPECT_THAT(out, testing::Not(testing::HasSubstr("no op times")));
  for (const char* name :
       {"simulated_ms", "recorded_pass_ms", "max_simulated_wait_ms", "mean_simulated_wait_ms",
        "max_exposed_communication_ms", "mean_exposed_communication_ms", "num_op_timestamps"}) {
    EXPECT_GT(pipeline.at(name), 0) << name;
  }
  EXPECT_EQ(pipeline.at("max_data_collectives_ms"), 0);
  const nlohmann::json tensor = RowOf({.tensor = 2}, &out);
  EXPECT_THAT(out, testing::HasSubstr("in collectives of tensor-parallel ranks: "));
  EXPECT_GT(tensor.at("max_tensor_collectives_ms"), 0);
  EXPECT_GT(tensor.at("mean_tensor_collectives_ms"), 0);
}

// Twice as many threads as cores.
TEST(RunSchemeBenchmarks, HasNoOpTimesWhereRanksShareCores) {
  SchemeBenchmark benchmark = BenchmarkOf(Small());
  benchmark.job.threads = NumCores();
  const std::string path = testing::TempDir() + "/shared_cores.json";
  const std::string out = RunAndPrint(benchmark, path);
  EXPECT_THAT(out, testing::HasSubstr("no op times: more threads of ranks (" +
                                      std::to_string(2 * NumCores()) + ") than cores ("));
  const nlohmann::json row = nlohmann::json::parse(std::ifstream(path)).at("benchmarks").at(0);
  for (const char* name : {"simulated_ms", "simulated_bubble_fraction", "measured_bubble_fraction",
                           "max_exposed_communication_ms"}) {
    EXPECT_FALSE(row.contains(name)) << name;
  }
  EXPECT_EQ(row.at("num_threads_that_share_cores"), 2 * NumCores());
  EXPECT_EQ(row.at("num_shared_cores"), NumCores());
  EXPECT_GT(row.at("share_of_matmul_rate"), 0);
  for (const char* name :
       {"steal_share", "num_throttled_periods", "throttled_ms", "is_disturbed"}) {
    EXPECT_TRUE(row.contains(name)) << name;
  }
}

TEST(RunSchemeBenchmarks, SaysThatOpTimesAreLeftOut) {
  SchemeBenchmark benchmark = BenchmarkOf(Small());
  benchmark.options.max_timestamps = 2;
  const std::string path = testing::TempDir() + "/no_op_times.json";
  EXPECT_THAT(RunAndPrint(benchmark, path),
              testing::ContainsRegex(
                  "no op times: a pass takes [0-9]+ timestamps on a rank, more than the 2"));
  const nlohmann::json row = nlohmann::json::parse(std::ifstream(path)).at("benchmarks").at(0);
  EXPECT_FALSE(row.contains("simulated_ms"));
  EXPECT_FALSE(row.contains("max_exposed_communication_ms"));
  EXPECT_GT(row.at("num_op_timestamps"), 2);
}

}  // namespace
}  // namespace sluice
