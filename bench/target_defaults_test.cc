#include "bench/target_defaults.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace sluice {
namespace {

using Words = std::vector<std::string>;

Words Split(const std::string& text) {
  std::istringstream words(text);
  Words split;
  for (std::string word; words >> word;) split.push_back(word);
  return split;
}

// The defaults that remain with these flags.
Words Kept(const std::string& given, const std::string& defaults) {
  Words arguments = WithTargetDefaults(Split(given), Split(defaults));
  const auto num_given = static_cast<int64_t>(Split(given).size());
  EXPECT_EQ(Words(arguments.begin(), arguments.begin() + num_given), Split(given));
  return {arguments.begin() + num_given, arguments.end()};
}

void ExpectLeftOut(const std::string& given, const std::string& defaults,
                   const std::string& names) {
  const Words kept = Kept(given, defaults);
  for (const std::string& argument : Split(defaults)) {
    const std::string name = argument.substr(2, argument.find('=') - 2);
    const bool is_left_out = testing::Value(Split(names), testing::Contains(name));
    EXPECT_EQ(testing::Value(kept, testing::Contains(argument)), !is_left_out)
        << argument << " with " << given;
  }
}

constexpr char kSeqpipe[] =
    "--scheme=seqpipe --model=test --world_size=2 --device=cpu --n_slices=8";
constexpr char kGpipe[] =
    "--scheme=gpipe --model=test --world_size=2 --batch_size=4 --num_micro_batches=4";

TEST(TargetDefaults, HoldWhereNothingIsGiven) {
  ExpectLeftOut("", kSeqpipe, "");
  ExpectLeftOut("--n_steps=3 --json_out=x.json", kSeqpipe, "");
}

TEST(TargetDefaults, OfOneNameTheFirstHolds) {
  EXPECT_THAT(Kept("", "--n_slices=4 --n_slices=8"), testing::ElementsAre("--n_slices=4"));
}

TEST(TargetDefaults, AreLeftOutForTheSameFlagInEitherForm) {
  ExpectLeftOut("--n_slices=2", kSeqpipe, "n_slices");
  ExpectLeftOut("--n_slices 2 --model gpt2-1hm", kSeqpipe, "n_slices model");
}

TEST(TargetDefaults, SlicesAndTheirNumberExcludeEachOther) {
  ExpectLeftOut("--slices=64,64", kSeqpipe, "n_slices");
  ExpectLeftOut("--slices 64,64", "--seq_len=64 --n_slices=4", "n_slices seq_len");
  ExpectLeftOut("--n_slices=2", "--slices=64,64", "slices");
  ExpectLeftOut("--n_slices=65", "--seq_len=64", "seq_len");
  ExpectLeftOut("--seq_len=4", kSeqpipe, "n_slices");
  ExpectLeftOut("--seq_len=8", kSeqpipe, "");
}

TEST(TargetDefaults, WorldSizeIsThatOfTheSizesGiven) {
  ExpectLeftOut("--pipeline_parallel_size=4", kSeqpipe, "world_size");
  ExpectLeftOut("--pipeline_parallel_size=2", kSeqpipe, "");
  ExpectLeftOut("--pipeline_parallel_size=1", kSeqpipe, "world_size");
  ExpectLeftOut("--tensor_parallel_size=2", kSeqpipe, "");
  ExpectLeftOut("--tensor_parallel_size=4", kSeqpipe, "world_size");
  ExpectLeftOut("--data_parallel_size=3 --tensor_parallel_size=2", kSeqpipe, "world_size");
  ExpectLeftOut("--data_parallel_size=2", "--scheme=megatron --world_size=2", "");
  ExpectLeftOut("--tensor_parallel_size=4", "--scheme=megatron --world_size=2", "world_size");
  ExpectLeftOut("--tensor_parallel_size=2", "--scheme=single --world_size=1", "world_size");
}

TEST(TargetDefaults, AnotherSchemeLeavesOutWhatItDoesNotUse) {
  ExpectLeftOut("--scheme=gpipe", kSeqpipe, "scheme n_slices");
  ExpectLeftOut("--scheme=seq_one_f_one_b", kSeqpipe, "scheme");
  ExpectLeftOut("--scheme=single", kSeqpipe, "scheme world_size");
  ExpectLeftOut("--scheme=megatron", kSeqpipe, "scheme");
  ExpectLeftOut("--scheme=gpipe", "--scheme=interleaved_one_f_one_b --num_chunks=2",
                "scheme num_chunks");
  ExpectLeftOut("--scheme=no_such", kSeqpipe, "scheme");
}

TEST(TargetDefaults, ThreadsAreOfTheCpu) {
  ExpectLeftOut("--device=cuda", "--scheme=single --threads=1", "threads");
  ExpectLeftOut("--device=cpu", "--scheme=single --threads=1", "");
}

TEST(TargetDefaults, MicroBatchesMustDivideTheBatch) {
  ExpectLeftOut("--batch_size=8", kGpipe, "batch_size");
  ExpectLeftOut("--batch_size=2", kGpipe, "batch_size num_micro_batches");
  ExpectLeftOut("--num_micro_batches=2", kGpipe, "num_micro_batches");
  ExpectLeftOut("--data_parallel_size=2", kGpipe, "num_micro_batches");
  ExpectLeftOut("--num_micro_batches=8", kGpipe, "batch_size num_micro_batches");
}

TEST(TargetDefaults, LayersAreEnoughForTheStages) {
  constexpr char kTwoLayers[] = "--scheme=gpipe --world_size=2 --num_layers=2";
  ExpectLeftOut("--world_size=4", kTwoLayers, "world_size num_layers");
  ExpectLeftOut("--pipeline_parallel_size=4", kTwoLayers, "world_size num_layers");
  ExpectLeftOut("--world_size=4 --tensor_parallel_size=2", kTwoLayers, "world_size");
  ExpectLeftOut("--scheme=interleaved_one_f_one_b --num_chunks=2", kTwoLayers, "scheme num_layers");
  ExpectLeftOut("--scheme=zero_bubble_v", kTwoLayers, "scheme num_layers");
  ExpectLeftOut("--world_size=4 --scheme=megatron", kTwoLayers, "scheme world_size");
}

TEST(TargetDefaults, WhatIsNoNumberIsLeftToTheParser) {
  ExpectLeftOut("--batch_size=many --tensor_parallel_size=0 -x y", kGpipe, "batch_size");
}

TEST(TargetDefaults, AScheduleFileReplacesTheNumbersThatItSets) {
  ExpectLeftOut("--schedule_file=F", kSeqpipe, "scheme world_size n_slices");
  ExpectLeftOut("--schedule_file=F", "--batch_size=4 --num_micro_batches=4 --num_chunks=2",
                "num_micro_batches num_chunks");
}

}  // namespace
}  // namespace sluice
