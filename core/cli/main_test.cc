#include "core/cli/main.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/cli/build_info.h"
#include "core/cli/expect_refused.h"
#include "core/cli/run_program.h"

namespace sluice {
namespace {

ProgramResult Demo(std::vector<std::string> flags) {
  flags.insert(flags.begin(), "core/cli/demo");
  return RunProgram(flags);
}

void ExpectDemoRefuses(std::vector<std::string> flags, const std::string& message) {
  flags.insert(flags.begin(), "core/cli/demo");
  ExpectRefused(flags, {message});
}

TEST(Main, RunsWithDefaults) {
  const ProgramResult result = Demo({});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.stdout_text,
            "n_steps=10 seq_len=0 slice_lens= deadline_s=5 check=true label=none\n");
  EXPECT_EQ(result.stderr_text, "");
}

TEST(Main, ReturnsWhatRunReturns) { EXPECT_EQ(Demo({"--end=miss"}).exit_code, 1); }

TEST(Main, EndsAfterAFailureWhateverALibraryDoesAtExit) {
  const ProgramResult result = Demo({"--end=stuck"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.stdout_text.find("n_steps=10"), std::string::npos);
  EXPECT_LT(result.elapsed_ms, 30'000);
}

TEST(Main, RefusesBadFlags) {
  ExpectDemoRefuses({"--n_step=3"}, "did you mean '--n_steps'?");
  ExpectDemoRefuses({"--n_steps=0"}, "--n_steps '0' is not allowed: it must be an integer from 1");
  ExpectDemoRefuses({"--end=retrun"}, "unknown --end 'retrun'; did you mean 'return'?");
  ExpectDemoRefuses({"--seq_len=64", "--slice_lens=32,32"},
                    "--seq_len and --slice_lens cannot be given together");
}

TEST(Main, ResolvesRelativePathsAgainstTheCallersFolder) {
  const auto json_out = [](const std::string& path) {
    const std::string text = Demo({"--json_out=" + path}).stdout_text;
    return text.substr(text.find("json_out="));
  };
  setenv("BUILD_WORKING_DIRECTORY", "/tmp", 1);
  EXPECT_EQ(json_out("x.json"), "json_out=/tmp/x.json\n");
  EXPECT_EQ(json_out("/dev/shm/x.json"), "json_out=/dev/shm/x.json\n");
  setenv("SLUICE_WORKING_DIRECTORY", "/dev", 1);
  EXPECT_EQ(json_out("shm/x.json"), "json_out=/dev/shm/x.json\n");
  unsetenv("SLUICE_WORKING_DIRECTORY");
  unsetenv("BUILD_WORKING_DIRECTORY");
}

TEST(Main, RefusesBadOutputPathsAndWritesNothing) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "outputs";
  std::filesystem::create_directory(folder);
  ExpectDemoRefuses({"--json_out=" + folder.string()}, "it is a folder");
  ExpectDemoRefuses({"--json_out=" + (folder / "none" / "x.json").string()}, "there is no folder");
  ExpectDemoRefuses({"--json_out=" + folder.string() + "/\x1b[2J/\n.json"}, "\\x1b[2J/\\n.json");
  ExpectDemoRefuses({"--json_out=" + (folder / std::string(5000, 'x')).string()},
                    "File name too long");
  ExpectDemoRefuses({"--json_out=/dev/null"}, "it is not a regular file");
  ExpectDemoRefuses({"--json_out="}, "--json_out is empty");
  ExpectDemoRefuses({"--json_out=" + (folder / "x.json").string(), "--n_steps=0"}, "--n_steps '0'");
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

TEST(Main, PrintsAnErrorOnOneLine) {
  const ProgramResult result = Demo({"--end=refuse"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.stderr_text, "error: two\\nlines and a \\x1b[31mcolour\n");
}

TEST(Main, CutsAnEndlessMessage) {
  EXPECT_LT(Demo({"--" + std::string(100'000, 'x')}).stderr_text.size(), 5000u);
  EXPECT_LT(Demo({"--n_steps=" + std::string(100'000, '1')}).stderr_text.size(), 5000u);
}

TEST(Main, NamesOtherExceptions) {
  const ProgramResult memory = Demo({"--end=memory"});
  EXPECT_EQ(memory.exit_code, 1);
  EXPECT_TRUE(memory.stderr_text.starts_with("error: out of memory")) << memory.stderr_text;
  const ProgramResult logic = Demo({"--end=logic"});
  EXPECT_EQ(logic.exit_code, 1);
  EXPECT_EQ(logic.stderr_text, "error: std::logic_error: a broken rule\n");
  const ProgramResult unknown = Demo({"--end=unknown"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_EQ(unknown.stderr_text, "error: an exception of unknown type ended the program\n");
}

TEST(Main, FailsWhenItsOutputIsLost) {
  const ProgramResult result = RunProgram({"/bin/sh", "-c", "exec core/cli/demo >/dev/full"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.stderr_text,
            "error: cannot write to standard output: No space left on device\n");
}

TEST(Main, HelpsWithItsOwnFlagsOnly) {
  const ProgramResult result = Demo({"--nonsense", "--help"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.stderr_text, "");
  EXPECT_EQ(result.stdout_text, R"(Shows how a program reads its flags.

  demo --n_steps=3

Flags, as --name=value:
  --check
      compare with the reference
      (true or false; default true)
  --deadline_s
      seconds that an operation may take
      (number from 0 to 3600; default 5)
  --end
      how the program ends
      (one of return | miss | refuse | memory | logic | unknown | stuck; default return)
  --json_out
      where the result goes
      (path of a file to write)
  --label
      a word written into the result
      (text; default none)
  --n_steps
      timed steps
      (integer from 1 to 1000000; default 10)
  --seq_len
      tokens in a sequence; default: the model's
      (integer from 1 to 1048576)
  --slice_lens
      tokens in each slice
      (integers separated by commas, each from 1 to 1048576)
)");
}

TEST(Main, TellsItsVersion) {
  const ProgramResult result = Demo({"--version"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.stdout_text, BuildInfoText(GetBuildInfo()));
}

}  // namespace
}  // namespace sluice
