// What cannot be timed is refused before anything is: exit code 2, one line, nothing on stdout.

#include <gtest/gtest.h>

#include "bench/harness/expect_refused.h"

namespace sluice {
namespace {

const char kProgram[] = "bench/kernels/matmul";

TEST(Refusals, AFilterThatMatchesNothing) {
  ExpectRefused({kProgram, "--filter=nothing"}, "matches no benchmark");
}

TEST(Refusals, OneLengthTwice) {
  ExpectRefused({kProgram, "--slice_lens=3,3"}, "is asked for twice");
}

TEST(Refusals, MoreMemoryThanThereIs) {
  ExpectRefused({kProgram, "--model=gpt3-175b", "--slice_lens=1048576", "--batch_size=1024"},
                "out of memory on cpu");
}

}  // namespace
}  // namespace sluice
