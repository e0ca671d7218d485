// What cannot be timed is refused before anything is: exit code 2, one line, nothing on stdout.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/cli/run_program.h"

namespace sluice {
namespace {

void ExpectRefused(std::vector<std::string> arguments, const std::string& part) {
  arguments.insert(arguments.begin(), "bench/kernels/matmul");
  const ProgramResult result = RunProgram(arguments);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.stdout_text, "");
  EXPECT_EQ(std::count(result.stderr_text.begin(), result.stderr_text.end(), '\n'), 1);
  EXPECT_NE(result.stderr_text.find(part), std::string::npos) << result.stderr_text;
}

TEST(Refusals, AFilterThatMatchesNothing) {
  ExpectRefused({"--filter=nothing"}, "matches no benchmark");
}

TEST(Refusals, OneLengthTwice) { ExpectRefused({"--slice_lens=3,3"}, "is asked for twice"); }

TEST(Refusals, MoreMemoryThanThereIs) {
  ExpectRefused({"--model=gpt3-175b", "--slice_lens=1048576", "--batch_size=1024"},
                "out of memory on cpu");
}

}  // namespace
}  // namespace sluice
