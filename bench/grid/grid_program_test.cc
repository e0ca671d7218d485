// Both programs as a person runs them.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "bench/grid/grid_record.h"
#include "core/cli/run_program.h"

namespace sluice {
namespace {

using Flags = std::vector<std::string>;
using Json = nlohmann::json;

class GridProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* extension : {".jsonl", ".svg"}) std::filesystem::remove(out_ + extension);
  }

  ProgramResult Run(Flags flags, const std::string& program = "bench/grid/grid_forward") {
    flags.insert(flags.begin(), program);
    flags.push_back("--out=" + out_);
    return RunProgram(flags);
  }

  std::string Text(const std::string& extension) {
    std::ifstream in(out_ + extension);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::vector<Json> Records() {
    std::vector<Json> records;
    std::ifstream in(out_ + ".jsonl");
    for (std::string line; std::getline(in, line);) records.push_back(Json::parse(line));
    return records;
  }

  std::set<GridPoint> Points() {
    std::set<GridPoint> points;
    for (const Json& record : Records()) {
      points.insert({record.at("num_layers"), record.at("hidden_size"), record.at("seq_len"),
                     record.at("prefix_len")});
    }
    return points;
  }

  void ExpectRefused(const Flags& flags, const std::string& message) {
    const ProgramResult result = Run(flags);
    EXPECT_EQ(result.exit_code, 2) << message;
    EXPECT_EQ(result.stdout_text, "");
    EXPECT_NE(result.stderr_text.find(message), std::string::npos) << result.stderr_text;
  }

  std::string out_ = testing::TempDir() + "/grid";
};

const Flags kSmall = {"--num_layers=1,2",     "--hidden_sizes=64,128", "--seq_lens=3:8:5",
                      "--prefix_factors=0,2", "--n_steps=2",           "--threads=1"};

TEST_F(GridProgramTest, MeasuresEveryPoint) {
  const ProgramResult result = Run(kSmall);
  ASSERT_EQ(result.exit_code, 0) << result.stderr_text;
  EXPECT_EQ(Points().size(), 16u);
  EXPECT_EQ(Records().size(), 16u);
  EXPECT_TRUE(Points().contains({2, 128, 8, 16}));
  for (const Json& record : Records()) {
    EXPECT_EQ(record.at("schema"), kGridSchema);
    EXPECT_EQ(record.at("status"), "measured");
    EXPECT_EQ(record.at("device"), "cpu");
    EXPECT_EQ(record.at("dtype"), "f32");
    EXPECT_EQ(record.at("threads"), "1");
    EXPECT_TRUE(record.contains("commit"));
    for (const char* name : {"steal_share", "num_throttled_periods", "is_disturbed"}) {
      EXPECT_TRUE(record.contains(name)) << name;
    }
    EXPECT_LE(record.at("min_ns"), record.at("median_ns"));
    EXPECT_LE(record.at("median_ns"), record.at("max_ns"));
    EXPECT_GT(record.at("min_ns"), 0);
    const double flops_per_s =
        record.at("flops").get<double>() / (record.at("median_ns").get<double>() * 1e-9);
    EXPECT_NEAR(record.at("flops_per_s").get<double>() / flops_per_s, 1, 1e-12);
  }
  EXPECT_NE(
      result.stderr_text.find("[16/16] num_layers 2, hidden_size 128, seq_len 8, prefix_len 16: "),
      std::string::npos);
  EXPECT_NE(result.stderr_text.find("about 0 s left"), std::string::npos);
  EXPECT_NE(result.stdout_text.find("GFLOP/s"), std::string::npos);
  EXPECT_TRUE(Text(".svg").starts_with("<svg"));
  EXPECT_NE(Text(".svg").find("hidden_size 128"), std::string::npos);
}

TEST_F(GridProgramTest, SweepsTheSequence) {
  const ProgramResult result =
      Run({"--num_layers=2", "--hidden_sizes=64", "--seq_lens=1:9", "--n_steps=1", "--dtype=f64"},
          "bench/grid/grid_seq_len");
  ASSERT_EQ(result.exit_code, 0) << result.stderr_text;
  EXPECT_EQ(Points().size(), 9u);
  EXPECT_EQ(Records().front().at("program"), "grid_seq_len");
  EXPECT_EQ(Records().front().at("dtype"), "f64");
}

TEST_F(GridProgramTest, GoesOnAfterAKill) {
  const std::string command =
      "bench/grid/grid_forward --num_layers=2 --hidden_sizes=64 --seq_lens=1:100 "
      "--prefix_factors=1 "
      "--threads=1 --n_steps=10 --out=" +
      out_;
  const std::string jsonl = out_ + ".jsonl";
  const ProgramResult killed =
      RunProgram({"/bin/sh", "-c",
                  command + " & while [ \"$(cat " + jsonl +
                      " 2>/dev/null | wc -l)\" -lt 3 ]; do sleep 0.01; done; kill -9 $!; wait $!"});
  EXPECT_EQ(killed.exit_code, 137);
  const std::vector<Json> before = Records();
  ASSERT_GE(before.size(), 3u);
  ASSERT_LT(before.size(), 100u);
  std::ofstream(jsonl, std::ios::app) << R"({"schema":1,"program":"grid_fo)";  // cut short

  const ProgramResult resumed = RunProgram({"/bin/sh", "-c", command + " --resume"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.stderr_text;
  const std::vector<Json> after = Records();
  EXPECT_EQ(after.size(), 100u);
  EXPECT_EQ(Points().size(), 100u);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), after.begin()));
  EXPECT_EQ(std::count(resumed.stderr_text.begin(), resumed.stderr_text.end(), '['),
            static_cast<int64_t>(100 - before.size()));
  EXPECT_NE(Text(".svg").find("</svg>"), std::string::npos);
}

TEST_F(GridProgramTest, RefusesToResumeAnotherConfiguration) {
  ASSERT_EQ(Run(kSmall).exit_code, 0);
  const std::string before = Text(".jsonl");
  ExpectRefused(kSmall, "holds 16 result(s) already: give --resume");
  Flags flags = kSmall;
  flags.push_back("--resume");
  flags[4] = "--n_steps=3";
  ExpectRefused(flags, "line 1: it is of another configuration: n_steps is '2', here '3'");
  flags[4] = "--n_steps=2";
  flags.push_back("--dtype=f64");
  ExpectRefused(flags, "it is of another configuration: dtype is 'f32', here 'f64'");
  EXPECT_EQ(Text(".jsonl"), before);
  flags.pop_back();
  EXPECT_EQ(Run(flags).exit_code, 0);
  EXPECT_EQ(Text(".jsonl"), before);  // nothing was left to measure
  std::ofstream(out_ + ".jsonl", std::ios::app) << "no JSON\n";
  ExpectRefused(flags, "line 17: it is no result of a grid search");
}

TEST_F(GridProgramTest, LeavesOutWhatNeedsMoreMemory) {
  const ProgramResult result = Run({"--num_layers=1", "--hidden_sizes=64,1048576", "--seq_lens=4",
                                    "--prefix_factors=0,1", "--n_steps=1"});
  ASSERT_EQ(result.exit_code, 0) << result.stderr_text;
  const std::vector<Json> records = Records();
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(records[1].at("status"), "measured");
  EXPECT_EQ(records[2].at("status"), "out_of_memory");
  EXPECT_GT(records[2].at("needed_bytes"), records[2].at("available_bytes"));
  EXPECT_FALSE(records[2].contains("median_ns"));
  EXPECT_NE(
      result.stderr_text.find("num_layers 1, hidden_size 1048576, seq_len 4, prefix_len 4: needs "),
      std::string::npos)
      << result.stderr_text;
  EXPECT_NE(result.stdout_text.find("were available"), std::string::npos);
  EXPECT_NE(Text(".svg").find("2 of 2 need more memory"), std::string::npos);
}

TEST_F(GridProgramTest, RefusesBadFlags) {
  ExpectRefused({"--seq_lens=9:1"}, "--seq_lens '9:1' is not allowed: the range ends before");
  ExpectRefused({"--num_layers=0"}, "--num_layers '0' is not allowed");
  ExpectRefused({"--hidden_size=64"}, "did you mean '--hidden_sizes'?");
  ExpectRefused({"--hidden_sizes=100"}, "hidden_size 100 is not divisible by head_dim 64");
  ExpectRefused({"--prefix_factors=1048576", "--seq_lens=1048576", "--hidden_sizes=1048576",
                 "--num_layers=1048576", "--batch_size=1048576"},
                "the number of parameters is too large");
  ExpectRefused({"--num_layers=1:10000", "--seq_lens=1:10000"},
                "the axes make 1000000000 points; at most 1000000 are allowed");
  ExpectRefused({"--dtype=bf16"}, "dtype bf16 is not supported on device cpu");
  ExpectRefused({"--device=cuda", "--threads=2"}, "--threads is for --device=cpu only");
  EXPECT_FALSE(std::filesystem::exists(out_ + ".jsonl"));
  EXPECT_FALSE(std::filesystem::exists(out_ + ".svg"));
}

TEST_F(GridProgramTest, RefusesFilesItCannotWrite) {
  const std::string folder = testing::TempDir() + "/none/x";
  const ProgramResult result = RunProgram({"bench/grid/grid_forward", "--out=" + folder});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.stderr_text.find("there is no folder"), std::string::npos) << result.stderr_text;
  for (const std::string name : {"/", "/.", "/.."}) {
    const ProgramResult beside =
        RunProgram({"bench/grid/grid_forward", "--out=" + testing::TempDir() + name});
    EXPECT_EQ(beside.exit_code, 2);
    EXPECT_NE(beside.stderr_text.find("names a folder"), std::string::npos) << beside.stderr_text;
  }
}

// The file takes two results and half of a third; what is whole is kept.
TEST_F(GridProgramTest, SaysThatTheDiskIsFullAndGoesOnLater) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer's own files are larger than the limit";
#endif
  Flags flags = {"bench/grid/grid_forward", "--out=" + out_};
  flags.insert(flags.end(), kSmall.begin(), kSmall.end());
  std::string command;
  for (const std::string& flag : flags) command += flag + " ";
  // 2 KiB a file; the signal that goes with it is what a full disk does not send.
  const ProgramResult full =
      RunProgram({"/bin/bash", "-c", "trap '' XFSZ; ulimit -f 2; exec " + command});
  EXPECT_EQ(full.exit_code, 2);
  EXPECT_NE(full.stderr_text.find("cannot write '" + out_ + ".jsonl': File too large"),
            std::string::npos)
      << full.stderr_text;
  EXPECT_EQ(std::filesystem::file_size(out_ + ".jsonl"), 2048u);

  const ProgramResult resumed = RunProgram({"/bin/bash", "-c", command + "--resume"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.stderr_text;
  EXPECT_EQ(Records().size(), 16u);
  EXPECT_EQ(Points().size(), 16u);
}

// Points that do not fit into memory are not part of the time left.
TEST_F(GridProgramTest, TellsTheTimeLeftOfWhatItWillMeasure) {
  const ProgramResult result = Run({"--num_layers=1", "--hidden_sizes=64,1048576", "--seq_lens=4",
                                    "--prefix_factors=0,10000", "--n_steps=1"});
  ASSERT_EQ(result.exit_code, 0) << result.stderr_text;
  const std::regex left("about ([0-9]+) s left");
  int num_lines = 0;
  for (std::sregex_iterator it(result.stderr_text.begin(), result.stderr_text.end(), left), end;
       it != end; ++it, ++num_lines) {
    EXPECT_LT(std::stod((*it)[1]), 600) << result.stderr_text;
  }
  EXPECT_EQ(num_lines, 4);
}

}  // namespace
}  // namespace sluice
