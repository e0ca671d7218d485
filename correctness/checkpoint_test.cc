// Saves reference checkpoints and checks schemes against them, as a user would.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/cli/run_program.h"

namespace sluice {
namespace {

using Flags = std::vector<std::string>;

ProgramResult RunTool(const std::string& program, const Flags& flags) {
  Flags arguments = {"correctness/" + program};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  return RunProgram(arguments);
}

std::string NewPath(const std::string& name) {
  const std::string folder =
      testing::TempDir() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name();
  std::filesystem::create_directories(folder);
  return folder + "/" + name;
}

Flags With(Flags flags, const Flags& more) {
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

const Flags kSmall = {"--model=test",  "--num_layers=5", "--hidden_size=40", "--seq_len=18",
                      "--num_heads=4", "--batch_size=4", "--seed=3",         "--loss=projection"};

void ExpectSaved(const std::string& path, const Flags& flags) {
  const ProgramResult saved = RunTool("save_reference", With(flags, {"--checkpoint_path=" + path}));
  ASSERT_EQ(saved.exit_code, 0) << saved.stderr_text;
}

TEST(Check, PassesForEverySchemeInBothPrecisions) {
  const std::string path = NewPath("reference.safetensors");
  ExpectSaved(path, kSmall);
  const std::vector<Flags> schemes = {
      {"--scheme=single"},
      {"--scheme=gpipe", "--world_size=2", "--num_micro_batches=4"},
      {"--scheme=one_f_one_b", "--world_size=4", "--num_micro_batches=4"},
      {"--scheme=interleaved_one_f_one_b", "--world_size=2", "--num_chunks=2",
       "--num_micro_batches=2"},
      {"--scheme=seqpipe", "--world_size=3", "--n_slices=5"},
      {"--scheme=seq_one_f_one_b", "--world_size=2", "--slices=9,6,3"},
      {"--scheme=seq_interleaved", "--world_size=2", "--num_chunks=2", "--n_slices=4"},
      {"--scheme=zero_bubble_h1", "--world_size=2", "--num_micro_batches=4"},
      {"--scheme=zero_bubble_h2", "--world_size=2", "--num_micro_batches=4"},
      {"--scheme=zero_bubble_v", "--world_size=2", "--num_micro_batches=4"},
      {"--scheme=megatron", "--world_size=4"},
      {"--scheme=megatron", "--world_size=2", "--plan=megatron_sequence_parallel"},
      {"--scheme=seqpipe", "--pipeline_parallel_size=2", "--tensor_parallel_size=2",
       "--data_parallel_size=2", "--n_slices=3"},
  };
  for (const Flags& scheme : schemes) {
    for (const std::string dtype : {"f64", "f32"}) {
      const ProgramResult result = RunTool(
          "check", With(With(kSmall, scheme), {"--checkpoint_path=" + path, "--dtype=" + dtype}));
      EXPECT_EQ(result.exit_code, 0) << result.stdout_text << result.stderr_text;
      EXPECT_NE(result.stdout_text.find("PASS: scheme:"), std::string::npos);
      EXPECT_NE(result.stdout_text.find("63 of 63 tensors"), std::string::npos);
      if (scheme.back() == "--n_slices=3") {
        EXPECT_NE(result.stdout_text.find("/n_slices:3/"), std::string::npos) << result.stdout_text;
      }
    }
  }
}

// A layer norm of so few amplifies what the order of sums rounds, where two are nearly equal.
TEST(Check, PassesForTwoFeatures) {
  const Flags tiny = {"--model=test",  "--num_layers=9", "--hidden_size=2",  "--seq_len=4",
                      "--num_heads=2", "--batch_size=9", "--loss=projection"};
  const std::string path = NewPath("reference.safetensors");
  ExpectSaved(path, tiny);
  for (const std::string dtype : {"f64", "f32"}) {
    const ProgramResult result = RunTool(
        "check",
        With(tiny, {"--checkpoint_path=" + path, "--dtype=" + dtype, "--scheme=zero_bubble_v",
                    "--pipeline_parallel_size=4", "--tensor_parallel_size=2",
                    "--num_micro_batches=9", "--plan=megatron_sequence_parallel"}));
    EXPECT_EQ(result.exit_code, 0) << result.stdout_text << result.stderr_text;
  }
}

TEST(Check, RefusesOneFeature) {
  const Flags tiny = {"--model=test", "--num_layers=1", "--hidden_size=1", "--num_heads=1"};
  const std::string path = NewPath("reference.safetensors");
  ExpectSaved(path, tiny);
  const ProgramResult result = RunTool("check", With(tiny, {"--checkpoint_path=" + path}));
  EXPECT_EQ(result.exit_code, 2) << result.stdout_text;
  EXPECT_NE(result.stderr_text.find("error: hidden_size 1 cannot be checked"), std::string::npos)
      << result.stderr_text;
}

TEST(Check, PassesAgainstAReferenceInFloat32) {
  const std::string path = NewPath("reference.safetensors");
  ExpectSaved(path, With(kSmall, {"--dtype=f32"}));
  const ProgramResult result =
      RunTool("check", With(kSmall, {"--checkpoint_path=" + path, "--scheme=seqpipe",
                                     "--world_size=2", "--n_slices=4"}));
  EXPECT_EQ(result.exit_code, 0) << result.stdout_text;
}

TEST(Check, FailsWhereAByteOfTheReferenceIsOther) {
  const std::string path = NewPath("reference.safetensors");
  ExpectSaved(path, kSmall);
  // The last tensor is grad.input; this is an exponent of its last element.
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-1, std::ios::end);
  file.put(0x41);
  file.close();
  const ProgramResult result =
      RunTool("check", With(kSmall, {"--checkpoint_path=" + path, "--world_size=1"}));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.stdout_text.find("FAIL: scheme:single"), std::string::npos);
  EXPECT_NE(result.stdout_text.find("62 of 63 tensors"), std::string::npos);
}

std::string Contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// Makes the first element of the file's first tensor, the input, another: its exponent.
void ChangeInput(const std::string& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  uint64_t header_bytes = 0;
  file.read(reinterpret_cast<char*>(&header_bytes), sizeof(header_bytes));
  file.seekp(static_cast<std::streamoff>(sizeof(header_bytes) + header_bytes + 7));
  file.put(0x41);
}

TEST(Check, FailsWhereResultsAreThoseOfAnotherInput) {
  const std::string path = NewPath("reference.safetensors");
  ExpectSaved(path, kSmall);
  ChangeInput(path);
  const ProgramResult result = RunTool("check", {"--checkpoint_path=" + path});
  EXPECT_EQ(result.exit_code, 1) << result.stdout_text;
  EXPECT_NE(result.stdout_text.find("FAIL: scheme:single"), std::string::npos);
  EXPECT_NE(result.stdout_text.find("initial values from the file"), std::string::npos);
}

TEST(Check, TakesTheWorkloadFromTheFile) {
  const std::string path = NewPath("reference.safetensors");
  ExpectSaved(path, kSmall);
  const ProgramResult result = RunTool(
      "check", {"--scheme=seqpipe", "--world_size=2", "--n_slices=6", "--checkpoint_path=" + path});
  EXPECT_EQ(result.exit_code, 0) << result.stdout_text << result.stderr_text;
  EXPECT_NE(result.stdout_text.find("/num_layers:5/hidden_size:40/seq_len:18/"), std::string::npos);
  EXPECT_NE(result.stdout_text.find("/batch_size:4/n_slices:6/loss:projection/seed:3/"),
            std::string::npos)
      << result.stdout_text;
}

TEST(Check, RefusesFlagsThatDisagreeWithTheFile) {
  const std::string path = NewPath("reference.safetensors");
  ExpectSaved(path, kSmall);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"--batch_size=8", "batch_size is '4', expected '8'"},
      {"--seed=4", "seed is '3', expected '4'"},
      {"--loss=mean", "loss is 'projection', expected 'mean'"},
      {"--model=gpt2-1hm", "model is 'test', expected 'gpt2-1hm'"},
      {"--num_layers=4194304", "num_layers is '5', expected '4194304'"}};
  for (const auto& [flag, message] : cases) {
    const ProgramResult result = RunTool("check", {flag, "--checkpoint_path=" + path});
    EXPECT_EQ(result.exit_code, 2) << flag;
    EXPECT_NE(result.stderr_text.find(message), std::string::npos) << result.stderr_text;
    EXPECT_EQ(result.stderr_text.find("\\n"), std::string::npos) << result.stderr_text;
  }
}

// Overwrites the first `from` in the file with `to`, which is as long.
void Replace(const std::string& path, const std::string& from, const std::string& to) {
  ASSERT_EQ(from.size(), to.size());
  std::string bytes = Contents(path);
  const size_t at = bytes.find(from);
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, to.size(), to);
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST(Check, PrintsNoLineOfTheFilesOwn) {
  const std::string path = NewPath("reference.safetensors");
  ExpectSaved(path, kSmall);
  const std::string contents = Contents(path);
  const size_t begin = contents.find("\"commit\":\"") + 10;
  const size_t size = contents.find('"', begin) - begin;
  ASSERT_GE(size, 7U);
  Replace(path, contents.substr(begin, size), "\\nPASS:" + std::string(size - 7, 'x'));
  const ProgramResult result =
      RunTool("check", With(kSmall, {"--checkpoint_path=" + path, "--world_size=1"}));
  EXPECT_EQ(result.exit_code, 0) << result.stderr_text;
  EXPECT_EQ(result.stdout_text.find("\nPASS:x"), std::string::npos) << result.stdout_text;
}

TEST(Check, CallsTheTensorWithANanNearest) {
  const std::string path = NewPath("reference.safetensors");
  ExpectSaved(path, kSmall);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  // The last bytes of the tensor before grad.input, [18, 4, 40] float64.
  file.seekp(-18 * 4 * 40 * 8 - 2, std::ios::end);
  file.write("\xf8\x7f", 2);
  file.close();
  const ProgramResult result =
      RunTool("check", With(kSmall, {"--checkpoint_path=" + path, "--world_size=1"}));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.stdout_text.find("nearest: grad.layers.0.fc2.bias, at nan"), std::string::npos)
      << result.stdout_text;
}

TEST(Check, SaysThatTheReferenceIsInfinite) {
  const std::string path = NewPath("reference.safetensors");
  ExpectSaved(path, kSmall);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  // The last bytes of the tensor before grad.input, as in the test above.
  file.seekp(-18 * 4 * 40 * 8 - 8, std::ios::end);
  file.write("\0\0\0\0\0\0\xf0\x7f", 8);
  file.close();
  const ProgramResult result = RunTool("check", {"--checkpoint_path=" + path});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.stdout_text.find("FAIL: the reference is inf at element 39"), std::string::npos)
      << result.stdout_text;
  EXPECT_EQ(result.stdout_text.find("-nan"), std::string::npos) << result.stdout_text;
}

TEST(SaveReference, WritesTheSameFileTwice) {
  const std::string a = NewPath("a"), b = NewPath("b");
  ExpectSaved(a, kSmall);
  ExpectSaved(b, kSmall);
  EXPECT_EQ(Contents(a), Contents(b));
}

TEST(SaveReference, TakesARelativePathFromWhereBazelWasCalled) {
  const std::string path = NewPath("reference.safetensors");
  setenv("BUILD_WORKING_DIRECTORY", std::filesystem::path(path).parent_path().c_str(), 1);
  ExpectSaved("reference.safetensors", kSmall);
  EXPECT_TRUE(std::filesystem::exists(path));
  unsetenv("BUILD_WORKING_DIRECTORY");
}

}  // namespace
}  // namespace sluice
