#include "core/checkpoint/reference_checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/checkpoint/safetensors_writer.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

ReferenceRun SmallRun() {
  return {.model = {.name = "odd", .num_layers = 2, .hidden_size = 6, .seq_len = 5, .num_heads = 3},
          .batch_size = 2,
          .loss = "projection",
          .seed = 7,
          .dtype = Precision::kFloat64,
          .commit = "0123abc"};
}

class ReferenceCheckpointTest : public ::testing::Test {
 protected:
  ReferenceCheckpointTest() : folder_(fs::path(::testing::TempDir()) / "reference_checkpoint") {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }

  // Writes a file of zeros.
  std::string Write(const SafetensorsHeader& header) const {
    const std::string path = folder_ / "reference.safetensors";
    SafetensorsWriter writer(path, header);
    for (const SafetensorsTensor& tensor : header.tensors)
      writer.Write(tensor.name, std::vector<std::byte>(static_cast<size_t>(SizeBytes(tensor))));
    writer.Commit();
    return path;
  }

  // Returns the message of the Error that CheckReference throws, "" if it throws none.
  std::string Differences(const SafetensorsHeader& header, const ReferenceRun& expected) const {
    const SafetensorsReader file(Write(header));
    try {
      CheckReference(file, expected);
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find(file.path()), std::string::npos);
      return message;
    }
    return "";
  }

  fs::path folder_;
};

SafetensorsTensor& TensorOf(SafetensorsHeader& header, const std::string& name) {
  return *std::ranges::find(header.tensors, name, &SafetensorsTensor::name);
}

TEST_F(ReferenceCheckpointTest, HasTheTensorsOfTheSchema) {
  SafetensorsHeader header = ReferenceHeader(SmallRun());
  // input, projection, output, loss, grad.input, and twelve weights and gradients a layer.
  EXPECT_EQ(header.tensors.size(), 5u + 2 * 2 * 12);
  using Extents = std::vector<int64_t>;
  EXPECT_EQ(TensorOf(header, "input").shape, (Extents{5, 2, 6}));
  EXPECT_EQ(TensorOf(header, "projection").shape, (Extents{5, 2, 6}));
  EXPECT_EQ(TensorOf(header, "output").shape, (Extents{5, 2, 6}));
  EXPECT_EQ(TensorOf(header, "loss").shape, (Extents{1}));
  EXPECT_EQ(TensorOf(header, "grad.input").shape, (Extents{5, 2, 6}));
  EXPECT_EQ(TensorOf(header, "layers.1.attn.in_proj.weight").shape, (Extents{18, 6}));
  EXPECT_EQ(TensorOf(header, "grad.layers.0.fc2.weight").shape, (Extents{6, 24}));
  EXPECT_EQ(TensorOf(header, "grad.layers.0.attn_ln.bias").shape, (Extents{6}));
  for (const SafetensorsTensor& tensor : header.tensors)
    EXPECT_EQ(tensor.dtype, SafetensorsDType::kF64);
  EXPECT_EQ(header.metadata, (SafetensorsMetadata{{"model", "odd"},
                                                  {"num_layers", "2"},
                                                  {"hidden_size", "6"},
                                                  {"seq_len", "5"},
                                                  {"num_heads", "3"},
                                                  {"batch_size", "2"},
                                                  {"loss", "projection"},
                                                  {"seed", "7"},
                                                  {"dtype", "f64"},
                                                  {"commit", "0123abc"}}));
}

TEST_F(ReferenceCheckpointTest, HasNoProjectionForTheMean) {
  ReferenceRun run = SmallRun();
  run.loss = "mean";
  for (const SafetensorsTensor& tensor : ReferenceHeader(run).tensors)
    EXPECT_NE(tensor.name, "projection");
}

TEST_F(ReferenceCheckpointTest, AcceptsItsOwnAndAnotherPrecisionAndCommit) {
  const ReferenceRun expected = SmallRun();
  EXPECT_EQ(Differences(ReferenceHeader(expected), expected), "");
  ReferenceRun made = expected;
  made.dtype = Precision::kBFloat16;
  made.commit = "another";
  EXPECT_EQ(ReferenceHeader(made).tensors[0].dtype, SafetensorsDType::kF32);
  EXPECT_EQ(Differences(ReferenceHeader(made), expected), "");
}

// What a file of another program may do.
TEST_F(ReferenceCheckpointTest, AcceptsOtherTypesOrdersAndFewerMetadata) {
  SafetensorsHeader header = ReferenceHeader(SmallRun());
  header.metadata["dtype"] = "bf16";
  for (const char* key : {"model", "seed", "commit"}) header.metadata.erase(key);
  std::ranges::reverse(header.tensors);
  TensorOf(header, "input").dtype = SafetensorsDType::kF16;
  TensorOf(header, "layers.0.fc1.weight").dtype = SafetensorsDType::kF64;
  TensorOf(header, "grad.layers.0.fc1.weight").dtype = SafetensorsDType::kBF16;
  EXPECT_EQ(Differences(header, SmallRun()), "");
  const ReferenceRun run = ReadReferenceRun(SafetensorsReader(Write(header)));
  EXPECT_EQ(run.model.name, "custom");
  EXPECT_EQ(run.model.num_layers, 2);
  EXPECT_EQ(run.seed, std::nullopt);
  EXPECT_EQ(run.dtype, Precision::kBFloat16);
}

TEST_F(ReferenceCheckpointTest, NamesEveryKindOfDifference) {
  struct Case {
    std::function<void(SafetensorsHeader&)> change;
    std::string message;
  };
  const std::vector<Case> cases = {
      {[](auto& h) { h.metadata["num_heads"] = "2"; }, "metadata num_heads is '2', expected '3'"},
      {[](auto& h) { h.metadata["seed"] = "8"; }, "metadata seed is '8', expected '7'"},
      {[](auto& h) { h.metadata.erase("loss"); }, "its metadata: loss is missing"},
      {[](auto& h) {
         h.metadata["loss"] = "sum";
         h.metadata.erase("seq_len");
       },
       "its metadata: seq_len is missing; loss 'sum' is not valid: mean or projection"},
      {[](auto& h) { h.metadata["batch_size"] = "2.0"; }, "batch_size '2.0'"},
      {[](auto& h) { h.metadata["dtype"] = "f65"; }, "unknown dtype 'f65'"},
      {[](auto& h) { TensorOf(h, "input").dtype = SafetensorsDType::kI64; },
       "tensor input is I64, expected F64, F32, BF16 or F16"},
      {[](auto& h) { TensorOf(h, "loss").name = "cost"; }, "tensor loss is missing; "},
      {[](auto& h) { TensorOf(h, "loss").name = "cost"; }, "tensor cost is unexpected"},
      {[](auto& h) {
         TensorOf(h, "output").shape = {2, 5, 6};
       },
       "tensor output is [2, 5, 6], expected [5, 2, 6]"},
  };
  for (const Case& each : cases) {
    SafetensorsHeader header = ReferenceHeader(SmallRun());
    each.change(header);
    const std::string message = Differences(header, SmallRun());
    EXPECT_NE(message.find(each.message), std::string::npos)
        << message << "\nexpected: " << each.message;
  }
}

TEST_F(ReferenceCheckpointTest, ListsTheFirstFiveDifferencesOfAnotherModel) {
  ReferenceRun other = SmallRun();
  other.model = {.name = "other", .num_layers = 3, .hidden_size = 8, .seq_len = 5, .num_heads = 2};
  const std::string message = Differences(ReferenceHeader(other), SmallRun());
  // 4 metadata values, all tensors but the loss, and the 24 of a third layer.
  EXPECT_NE(message.find("differences (first 5 of 80): "
                         "metadata model is 'other', expected 'odd'; "
                         "metadata num_layers is '3', expected '2'; "
                         "metadata hidden_size is '8', expected '6'; "
                         "metadata num_heads is '2', expected '3'; "
                         "tensor input is [5, 2, 8], expected [5, 2, 6]"),
            std::string::npos)
      << message;
  EXPECT_EQ(std::ranges::count(message, '\n'), 0);
}

}  // namespace
}  // namespace sluice
