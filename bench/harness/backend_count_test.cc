// The linker replaces every call of MakeBackend in this program by one of CountedMakeBackend.
#include <gtest/gtest.h>

#include <atomic>

#include "bench/harness/scheme_benchmark.h"
#include "core/backend/backend.h"
#include "core/model/model_config.h"

namespace sluice {
namespace {

std::atomic<int> num_backends = 0;

SchemeBenchmark Small(int num_ranks) {
  JobConfig config = {.scheme = "gpipe", .pass = Pass::kForward, .sizes = {.pipeline = num_ranks}};
  config.model = FindModel("test");
  config.model.num_layers = 3;
  config.model.seq_len = 8;
  return {{.scheme = config.scheme, .config = config}, PlanJob(config), {.n_steps = 1}};
}

// Each rank runs on one, and the context describes the device of one more.
TEST(RunSchemeBenchmarks, MakesOneBackendPerRank) {
  RankStarter ranks({}, nullptr);
  ASSERT_EQ(RunSchemeBenchmarks({Small(1), Small(2)}, {}, {}, ranks), 0);
  EXPECT_EQ(num_backends, 1 + 1 + 2);
}

}  // namespace

Backend RealMakeBackend(const BackendOptions& options) asm(
    "__real__ZN6sluice11MakeBackendERKNS_14BackendOptionsE");
Backend CountedMakeBackend(const BackendOptions& options) asm(
    "__wrap__ZN6sluice11MakeBackendERKNS_14BackendOptionsE");

Backend CountedMakeBackend(const BackendOptions& options) {
  ++num_backends;
  return RealMakeBackend(options);
}

}  // namespace sluice
