#include "bench/harness/expect_refused.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/cli/run_program.h"

namespace sluice {

void ExpectRefused(const std::vector<std::string>& arguments, const std::string& part) {
  const ProgramResult result = RunProgram(arguments);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.stdout_text, "");
  EXPECT_EQ(std::count(result.stderr_text.begin(), result.stderr_text.end(), '\n'), 1);
  EXPECT_NE(result.stderr_text.find(part), std::string::npos) << result.stderr_text;
}

}  // namespace sluice
