#include "programs/job_flags.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace sluice {
namespace {

std::string Resolved(std::string_view scheme, const RequestedSizes& requested) {
  try {
    const ParallelSizes sizes = ResolveSizes(*FindSchemeChoice(scheme), requested, 8);
    return std::to_string(sizes.pipeline) + "x" + std::to_string(sizes.tensor) + "x" +
           std::to_string(sizes.data);
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(ResolveSizes, GivesTheWorldToTheAxisOfTheScheme) {
  EXPECT_EQ(Resolved("seqpipe", {.world_size = 4}), "4x1x1");
  EXPECT_EQ(Resolved("megatron", {.world_size = 4}), "1x4x1");
  EXPECT_EQ(Resolved("single", {.world_size = 1}), "1x1x1");
}

TEST(ResolveSizes, UsesTheWholeMachineWhereNothingIsSaid) {
  EXPECT_EQ(Resolved("gpipe", {}), "8x1x1");
  EXPECT_EQ(Resolved("megatron", {}), "1x8x1");
  EXPECT_EQ(Resolved("single", {}), "1x1x1");
}

TEST(RequestsWorldSize, UnlessTheMachineDecidesIt) {
  const auto requests = [](std::string_view scheme, const RequestedSizes& requested) {
    return RequestsWorldSize(*FindSchemeChoice(scheme), requested);
  };
  EXPECT_FALSE(requests("gpipe", {}));
  EXPECT_FALSE(requests("megatron", {}));
  EXPECT_TRUE(requests("single", {}));
  EXPECT_TRUE(requests("gpipe", {.world_size = 2}));
  EXPECT_TRUE(requests("gpipe", {.tensor = 2}));
  EXPECT_TRUE(requests("megatron", {.data = 1}));
}

TEST(ResolveSizes, MultipliesWhatIsGiven) {
  EXPECT_EQ(Resolved("seqpipe", {.pipeline = 3, .tensor = 2, .data = 2}), "3x2x2");
  EXPECT_EQ(Resolved("single", {.tensor = 2}), "1x2x1");
  EXPECT_EQ(Resolved("seqpipe", {.world_size = 12, .tensor = 2, .data = 2}), "3x2x2");
  EXPECT_EQ(Resolved("megatron", {.world_size = 12, .data = 3}), "1x4x3");
}

TEST(ResolveSizes, NamesMegatronWhereItIsGivenAPipeline) {
  EXPECT_EQ(Resolved("megatron", {.world_size = 2, .pipeline = 2}),
            "pipeline_parallel_size 2 is not allowed with scheme megatron: it must be 1; for a "
            "pipeline whose layers are divided too, use another scheme, such as gpipe, with "
            "tensor_parallel_size");
  EXPECT_EQ(Resolved("megatron", {.world_size = 2, .pipeline = 1}), "1x2x1");
}

TEST(ResolveSizes, NamesProductAndFactorsOfAnotherWorldSize) {
  EXPECT_EQ(Resolved("seqpipe", {.world_size = 8, .pipeline = 3, .tensor = 2}),
            "world_size 8 is not the product 6 of pipeline_parallel_size 3 x tensor_parallel_size "
            "2 x data_parallel_size 1");
  EXPECT_EQ(Resolved("seqpipe", {.world_size = 8, .tensor = 3}),
            "world_size 8 is not the product 3 of pipeline_parallel_size 1 x tensor_parallel_size "
            "3 x data_parallel_size 1");
  EXPECT_EQ(Resolved("single", {.world_size = 2}),
            "world_size 2 is not the product 1 of pipeline_parallel_size 1 x tensor_parallel_size "
            "1 x data_parallel_size 1");
}

}  // namespace
}  // namespace sluice
