// Bad input and benchmarks that cannot run are errors before anything is timed.

#include <gtest/gtest.h>

#include "core/cli/expect_refused.h"

namespace sluice {
namespace {

const char kProgram[] = "bench/comm/comm";

TEST(Refusals, AFilterThatMatchesNothing) {
  ExpectRefused({kProgram, "--filter=nothing"}, {"matches no benchmark"});
}

TEST(Refusals, NamesEachThingOnce) {
  ExpectRefused({kProgram, "--filter=nothing", "--world_size=2"},
                {"primitive:all_reduce/bytes:8/world_size:2/comm:thread/"});
}

TEST(Refusals, OneSizeTwice) { ExpectRefused({kProgram, "--bytes=8,8"}, {"is given twice"}); }

TEST(Refusals, SharingAGpuWithoutProcessesOnGpus) {
  ExpectRefused({kProgram, "--share_gpu"}, {"--share_gpu", "--comm=nccl", "--comm=thread"});
  ExpectRefused({kProgram, "--share_gpu", "--comm=mpi"}, {"--share_gpu", "--comm=mpi"});
  ExpectRefused({kProgram, "--share_gpu", "--comm=nccl"}, {"needs a process for each rank"});
}

TEST(Refusals, MoreMemoryThanThereIs) {
  ExpectRefused({kProgram, "--world_size=4096", "--bytes=17179869184"}, {"have "});
}

}  // namespace
}  // namespace sluice
