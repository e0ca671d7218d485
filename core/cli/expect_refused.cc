#include "core/cli/expect_refused.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/cli/run_program.h"

namespace sluice {
namespace {

constexpr double kMaxElapsedMs = 5000;

}  // namespace

void ExpectRefused(const std::vector<std::string>& arguments,
                   const std::vector<std::string>& parts) {
  const ProgramResult result = RunProgram(arguments);
  std::string command;
  for (const std::string& argument : arguments) command += argument + " ";
  SCOPED_TRACE(command + "\n" + result.stderr_text);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.stdout_text, "");
  EXPECT_TRUE(result.stderr_text.starts_with("error: "));
  EXPECT_TRUE(result.stderr_text.ends_with("\n"));
  EXPECT_EQ(std::count(result.stderr_text.begin(), result.stderr_text.end(), '\n'), 1);
  EXPECT_LT(result.elapsed_ms, kMaxElapsedMs);
  for (const std::string& part : parts) {
    EXPECT_NE(result.stderr_text.find(part), std::string::npos) << part;
  }
}

}  // namespace sluice
