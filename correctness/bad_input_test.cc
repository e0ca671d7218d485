// Bad input is an error of one line that names it, and nothing is written.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/cli/expect_refused.h"
#include "core/cli/run_program.h"

namespace sluice {
namespace {

const char kCheck[] = "correctness/check";
const char kSave[] = "correctness/save_reference";

class BadInput : public testing::Test {
 protected:
  BadInput() { std::filesystem::create_directories(folder_); }
  ~BadInput() override {
    EXPECT_TRUE(std::filesystem::is_empty(folder_));
    std::filesystem::remove_all(folder_);
  }

  // A check with these flags, of a file that is not there: the flags are wrong before it is opened.
  void ExpectCheckRefuses(std::vector<std::string> flags, const std::vector<std::string>& parts) {
    flags.insert(flags.begin(), kCheck);
    flags.push_back("--checkpoint_path=" + Path("missing"));
    ExpectRefused(flags, parts);
  }
  void ExpectSaveRefuses(std::vector<std::string> flags, const std::vector<std::string>& parts) {
    flags.insert(flags.begin(), kSave);
    flags.push_back("--checkpoint_path=" + Path("out"));
    ExpectRefused(flags, parts);
  }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  const std::string folder_ = testing::TempDir() + "/bad_input";
};

TEST_F(BadInput, UnknownNames) {
  ExpectCheckRefuses({"--model=tests"}, {"'tests'", "did you mean 'test'?", "gpt3-175b"});
  ExpectCheckRefuses({"--scheme=seqpip"}, {"'seqpip'", "did you mean 'seqpipe'?", "zero_bubble_v"});
  ExpectCheckRefuses({"--plan=megatrom"}, {"did you mean 'megatron'?"});
  ExpectCheckRefuses({"--loss=sum"}, {"'sum'", "mean, projection"});
}

TEST_F(BadInput, HeadsAndFeaturesThatDoNotDivide) {
  ExpectSaveRefuses({"--hidden_size=100", "--num_heads=7"},
                    {"hidden_size 100", "num_heads 7", "valid: 1, 2, 4, 5, 10, 20, 25, 50, 100"});
  ExpectCheckRefuses({"--model=gpt2-1b", "--scheme=megatron", "--world_size=2"},
                     {"num_heads 25", "tensor_parallel_size 2", "valid: 1, 5, 25"});
}

TEST_F(BadInput, ThreadsInEachOfManyProcesses) {
  setenv("OMPI_COMM_WORLD_SIZE", "3", 1);
  ExpectCheckRefuses({"--scheme=gpipe"}, {"--comm=thread", "mpirun has started 3", "--comm=mpi"});
  unsetenv("OMPI_COMM_WORLD_SIZE");
  for (const std::string variable : {"PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    setenv(variable.c_str(), "2", 1);
    ExpectCheckRefuses({"--scheme=gpipe"}, {"--comm=thread", "has started 2 (" + variable + ")"});
    setenv(variable.c_str(), "1", 1);
    ExpectCheckRefuses({"--scheme=gpipe", "--n_slices=2"}, {"n_slices 2", "gpipe"});
    unsetenv(variable.c_str());
  }
}

// One variable that a launcher would set makes no rank of this process.
TEST_F(BadInput, IsReportedWhereALaunchersVariableIsLeftBehind) {
  for (const std::string variable : {"SLURM_PROCID", "PMIX_RANK", "OMPI_COMM_WORLD_RANK"}) {
    setenv(variable.c_str(), "1", 1);
    ExpectCheckRefuses({"--modle=test"}, {"--modle", "did you mean '--model'?"});
    unsetenv(variable.c_str());
  }
}

TEST_F(BadInput, SharingAGpuWithoutProcessesOnGpus) {
  for (const std::string comm : {"thread", "mpi"}) {
    ExpectCheckRefuses({"--share_gpu", "--comm=" + comm},
                       {"--share_gpu", "--comm=nccl", "--comm=" + comm});
  }
  ExpectCheckRefuses({"--share_gpu", "--comm=nccl", "--device=cuda"},
                     {"--share_gpu needs a process for each rank", "--ranks_per_gpu"});
}

TEST_F(BadInput, FewerLayersThanStages) {
  ExpectCheckRefuses({"--scheme=gpipe", "--world_size=4", "--num_layers=3"}, {"3", "4"});
}

TEST_F(BadInput, WorldSizes) {
  ExpectCheckRefuses({"--scheme=gpipe", "--world_size=4", "--pipeline_parallel_size=3"},
                     {"world_size 4 is not the product 3", "pipeline_parallel_size 3"});
  for (const std::string size : {"0", "-1", "1000000000"}) {
    ExpectCheckRefuses({"--scheme=gpipe", "--world_size=" + size},
                       {"--world_size", size, "from 1"});
  }
}

TEST_F(BadInput, SlicesAndMicroBatches) {
  ExpectCheckRefuses({"--scheme=seqpipe", "--n_slices=129"}, {"n_slices 129", "seq_len 128"});
  ExpectCheckRefuses({"--scheme=seqpipe", "--n_slices=0"}, {"--n_slices", "'0'"});
  ExpectCheckRefuses({"--scheme=seqpipe", "--slices=100,27"}, {"127", "128"});
  ExpectCheckRefuses({"--scheme=seqpipe", "--slices=128,0"}, {"'0'"});
  ExpectCheckRefuses({"--scheme=gpipe", "--batch_size=6", "--num_micro_batches=4"},
                     {"batch_size 6", "4"});
  ExpectCheckRefuses({"--scheme=gpipe", "--n_slices=2"}, {"n_slices 2", "gpipe"});
}

TEST_F(BadInput, ScheduleFiles) {
  const std::string path = testing::TempDir() + "/schedule.csv";
  const auto expect_refused = [&](const std::string& text, std::vector<std::string> parts) {
    std::ofstream(path) << text;
    parts.insert(parts.begin(), "schedule.csv");
    ExpectCheckRefuses({"--schedule_file=" + path, "--batch_size=2", "--num_layers=4"}, parts);
  };
  expect_refused("", {"the file is empty"});
  expect_refused("0F0,0B0\n1F0,1B0\n1F0,1B0\n", {"rank 2, position 0, F1.0.0", "on rank 1"});
  expect_refused("0F0,0B0\n1F0\n", {"rank 1 has no BW1.0.0"});
  expect_refused("0F0,0B0\n1F0,1X0\n", {"rank 1, position 1, line 2, column 5", "'1X0'"});
  expect_refused("0F0,0F0,0B0\n1F0,1B0\n", {"rank 0, position 1, F0.0.0: is there twice"});
  expect_refused("0F0,0B0,0F1,0B1\n1F1,1B1,1F0,1B0\n",
                 {"deadlock: rank 0, position 1, BW0.0.0 waits for BW1.0.0 of rank 1"});
  std::ofstream(path) << "0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n";
  for (const std::string flag :
       {"--scheme=gpipe", "--num_micro_batches=2", "--n_slices=1", "--pipeline_parallel_size=2"}) {
    ExpectCheckRefuses({"--schedule_file=" + path, flag},
                       {"--schedule_file", flag.substr(0, flag.find('='))});
  }
  ExpectCheckRefuses({"--schedule_file=" + path, "--world_size=4"}, {"world_size 4", "product 2"});
  ExpectCheckRefuses({"--schedule_file=" + path, "--batch_size=3"}, {"batch_size 3", "2"});
  ExpectCheckRefuses({"--schedule_file=" + path, "--batch_size=2", "--slices=64,64"},
                     {"number of slices 2", "1 slices"});
  std::ofstream(path) << "0F0\n";
  ExpectCheckRefuses({"--schedule_file=" + path}, {"no backward ops"});
  ExpectCheckRefuses({"--schedule_file=" + Path("missing")}, {"missing"});
  ExpectCheckRefuses({"--schedule_file=" + folder_}, {"bad_input"});
}

TEST_F(BadInput, Numbers) {
  for (const std::string number :
       {"0", "-3", "9223372036854775808", "4.5", "0x10", " 8", "8 ", "1e3", "+8"}) {
    ExpectSaveRefuses({"--batch_size=" + number}, {"--batch_size", "'" + number + "'"});
  }
  ExpectSaveRefuses({"--batch_size="}, {"--batch_size"});
  ExpectSaveRefuses({"--batch_size=1", "--batch_size=2"}, {"--batch_size", "twice"});
}

TEST_F(BadInput, SizesThatOverflowOrExceedMemory) {
  ExpectSaveRefuses({"--hidden_size=1073741824", "--num_heads=1"}, {"parameters"});
  ExpectSaveRefuses({"--model=gpt3-175b"}, {"out of memory", "TiB, have", "gpt3-175b"});
  ExpectSaveRefuses({"--batch_size=1000000"}, {"out of memory", "have"});
  ExpectSaveRefuses({"--batch_size=1000000000", "--seq_len=1000000000"}, {"overflows 64 bits"});
}

TEST_F(BadInput, UnknownAndConflictingFlags) {
  ExpectCheckRefuses({"--n_slice=4"}, {"--n_slice", "did you mean '--n_slices'?"});
  ExpectSaveRefuses({"--scheme=single"}, {"unknown flag '--scheme'"});
  ExpectCheckRefuses({"--n_slices=2", "--slices=64,64"}, {"--n_slices", "--slices", "together"});
  ExpectCheckRefuses({"extra"}, {"'extra'"});
  ExpectCheckRefuses({"--scheme=gpipe", "--comm=mpi"}, {"mpirun"});
  ExpectCheckRefuses({"--prefix_len=4"}, {"--prefix_len 4"});
}

TEST_F(BadInput, PrecisionsThatADeviceLacks) {
  ExpectSaveRefuses({"--dtype=bf16"}, {"bf16", "cpu", "f32, f64"});
  ExpectCheckRefuses({"--dtype=f16"}, {"'f16'", "did you mean"});
  ExpectSaveRefuses({"--grad_dtype=bf16"}, {"grad_dtype bf16", "dtype f64", "valid with it: f64"});
  ExpectCheckRefuses({"--dtype=f32", "--grad_dtype=bf16"},
                     {"grad_dtype bf16", "dtype f32", "valid with it: f32"});
  ExpectCheckRefuses({"--dtype=fp16", "--grad_dtype=bf16"},
                     {"grad_dtype bf16", "dtype fp16", "valid with it: f32, fp16"});
  ExpectCheckRefuses({"--grad_dtype=bf15"}, {"'bf15'", "did you mean"});
}

TEST_F(BadInput, KernelsThatADeviceLacks) {
  ExpectCheckRefuses({"--attention=cudn"}, {"'cudn'", "did you mean 'cudnn'?"});
  ExpectCheckRefuses({"--attention=cudnn"}, {"attention cudnn is for device cuda only"});
  ExpectCheckRefuses({"--kernels=standart"}, {"'standart'", "auto, standard"});
  ExpectCheckRefuses({"--kernels=standard"}, {"kernels standard is for device cuda only"});
}

TEST_F(BadInput, OutputPaths) {
  ExpectRefused({kSave}, {"--checkpoint_path is missing"});
  ExpectRefused({kSave, "--checkpoint_path=" + folder_}, {folder_});
  ExpectRefused({kSave, "--checkpoint_path=" + Path("no/such/folder/out")}, {"no/such/folder"});
  ExpectRefused({kSave, "--checkpoint_path=" + Path("a\nb/\x1b[31mout")}, {"a\\nb", "\\x1b[31m"});
}

TEST_F(BadInput, CheckpointsThatAreNone) {
  ExpectCheckRefuses({}, {"missing"});
  ExpectRefused({kCheck, "--checkpoint_path=" + folder_}, {folder_});
  const std::string path = Path("truncated");
  std::ofstream(path) << "1234567";
  ExpectRefused({kCheck, "--checkpoint_path=" + path}, {path, "7 bytes"});
  std::filesystem::remove(path);
}

TEST_F(BadInput, ACheckpointOfAnotherModel) {
  const std::string path = Path("reference");
  ASSERT_EQ(RunProgram({kSave, "--num_layers=1", "--hidden_size=8", "--seq_len=4",
                        "--checkpoint_path=" + path})
                .exit_code,
            0);
  ExpectRefused({kCheck, "--num_layers=2", "--hidden_size=8", "--seq_len=4", "--seed=1",
                 "--scheme=gpipe", "--checkpoint_path=" + path},
                {path, "num_layers is '1', expected '2'", "seed is '0', expected '1'", "first 5 of",
                 "layers.1.attn_ln.weight is missing"});
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace sluice
