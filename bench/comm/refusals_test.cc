// What cannot be timed is refused before anything is: exit code 2, one line, nothing on stdout.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/cli/run_program.h"

namespace sluice {
namespace {

void ExpectRefused(std::vector<std::string> arguments, const std::string& part) {
  arguments.insert(arguments.begin(), "bench/comm/comm");
  const ProgramResult result = RunProgram(arguments);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.stdout_text, "");
  EXPECT_EQ(std::count(result.stderr_text.begin(), result.stderr_text.end(), '\n'), 1);
  EXPECT_NE(result.stderr_text.find(part), std::string::npos) << result.stderr_text;
}

TEST(Refusals, AFilterThatMatchesNothing) {
  ExpectRefused({"--filter=nothing"}, "matches no benchmark");
}

TEST(Refusals, NamesEachThingOnce) {
  ExpectRefused({"--filter=nothing", "--world_size=2"},
                "primitive:all_reduce/bytes:8/world_size:2/comm:thread/");
}

TEST(Refusals, OneSizeTwice) { ExpectRefused({"--bytes=8,8"}, "is asked for twice"); }

TEST(Refusals, MoreMemoryThanThereIs) {
  ExpectRefused({"--world_size=4096", "--bytes=17179869184"}, "have ");
}

}  // namespace
}  // namespace sluice
