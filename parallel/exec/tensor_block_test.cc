#include "parallel/exec/tensor_block.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(TensorBlock, PlacesTensorsInOrderAndAligned) {
  const TensorBlock<LayerScratch> block({.partial = Tensor(nullptr, DType::kFloat32, {2, 3}),
                                         .dhidden = Tensor(nullptr, DType::kFloat64, {64}),
                                         .dattn = Tensor(nullptr, DType::kFloat32, {5})});
  EXPECT_EQ(block.size_bytes(), 256 + 512 + 256);
  alignas(256) char memory[1024];
  const LayerScratch placed = block.At(memory);
  EXPECT_EQ(placed.partial.data(), memory);
  EXPECT_EQ(placed.partial.shape(), (Shape{2, 3}));
  EXPECT_EQ(placed.dhidden.data(), memory + 256);
  EXPECT_EQ(placed.dhidden.dtype(), DType::kFloat64);
  EXPECT_EQ(placed.dattn.data(), memory + 768);
}

TEST(TensorBlock, LeavesTensorsWithoutAShapeAbsent) {
  const TensorBlock<LayerScratch> block({.dattn = Tensor(nullptr, DType::kFloat32, {5})});
  EXPECT_EQ(block.size_bytes(), 256);
  char memory[256];
  const LayerScratch placed = block.At(memory);
  EXPECT_FALSE(placed.partial.present());
  EXPECT_FALSE(placed.dhidden.present());
  EXPECT_EQ(placed.dattn.data(), memory);
}

TEST(TensorBlock, LeavesTheTensorsOfOtherBlocksAbsent) {
  const Tensor tensor(nullptr, DType::kFloat32, {5});
  const TensorBlock<LayerGradients> block({.dfc1 = tensor, .dy = tensor, .dqkv = tensor});
  EXPECT_EQ(block.size_bytes(), 3 * 256);
  char memory[3 * 256];
  EXPECT_FALSE(block.At(memory).dz.present());
}

}  // namespace
}  // namespace sluice
