// Our own matrix product for Hopper GPUs (sm_90a), bf16 and fp16: wgmma on tiles that the copy
// engine (TMA) brings, one producer and two consumer warpgroups a block, with bias, ReLU and an
// added matrix in the product's own pass.
//
// It is for products that fill the multiprocessors once and not several times over: its tiles have
// widths that divide the sizes of our models into just under one tile for each of 132
// multiprocessors, and a kernel starts while the one before it ends (launch.h).  Each tile is a
// variant; who calls chooses one by timing them.
//
// Results are the same bits on every run with the same variant: products are accumulated in float32
// on top of bias and added matrix, in one order.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/kernels/matmul/matmul.h"
#include "core/tensor/dtype.h"

namespace sluice::cuda {

// d = activation(a b^T + bias + added).
//
//   a      [num_rows, num_summed]     read
//   b      [num_columns, num_summed]  read
//   bias   [num_columns]              read, or nullptr
//   added  [num_rows, num_columns]    read, or nullptr; may be d
//   d      [num_rows, num_columns]    overwritten; must not overlap a and b
//
// All of `dtype`, 16 bits.
struct HopperMatmulArgs {
  int64_t num_rows = 0;
  int64_t num_columns = 0;
  int64_t num_summed = 0;
  DType dtype = DType::kBFloat16;
  const void* a = nullptr;
  const void* b = nullptr;
  const void* bias = nullptr;
  const void* added = nullptr;
  void* d = nullptr;
  Activation activation = Activation::kNone;
};

int NumHopperMatmulVariants();

// Whether the variants compute this on the current device: on Hopper, where all rows in memory
// start at multiples of 16 bytes.
bool SupportsHopperMatmul(const HopperMatmulArgs& args);

// Enqueues the product; SupportsHopperMatmul must hold.
void RunHopperMatmul(int variant, const HopperMatmulArgs& args, cudaStream_t stream);

// RunHopperMatmul for __nv_bfloat16 or __half.
template <typename T>
void LaunchHopperMatmul(int variant, const HopperMatmulArgs& args, cudaStream_t stream);

}  // namespace sluice::cuda
