// Matrix products through cuBLASLt, or on Hopper our own kernels (hopper_matmul.h), each shape with
// what was fastest when it was first seen.
//
// The first call of a shape asks cuBLASLt for candidates, times them by turns on the call's own
// operands (autotune.h) and keeps the winner; later calls only enqueue it.  cuBLASLt's own
// order decides among those that are about as fast, so that noise seldom changes the choice, and
// with it the rounding, from one run to the next.  The first call of a shape allocates, frees and
// synchronises the streams, so it cannot be captured in a CUDA graph, nor be made while a message
// may be under way: run the work once before, then forbid tuning.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "core/device/cuda/cuda_device.h"
#include "core/kernels/tuning.h"
#include "core/tensor/dtype.h"

namespace sluice::cuda {

enum class Transpose : uint8_t { kNo, kYes };

enum class Epilogue : uint8_t { kNone, kBias, kBiasRelu, kRelu };

// D = epilogue(op(A) op(B) + beta C) in cuBLAS's order, columns contiguous: op(A) is m x k, op(B)
// k x n, C and D m x n.  A row-major [rows, columns] matrix is a column-major columns x rows one.
// Leading dimensions are the stored matrices' own: nothing is padded.
struct MatmulShape {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  Transpose transpose_a = Transpose::kNo;
  Transpose transpose_b = Transpose::kNo;
  DType input_dtype = DType::kFloat32;   // of A and B
  DType output_dtype = DType::kFloat32;  // of C, D and the bias
  Epilogue epilogue = Epilogue::kNone;

  auto operator<=>(const MatmulShape&) const = default;
};

struct MatmulOperands {
  const void* a = nullptr;
  const void* b = nullptr;
  const void* c = nullptr;  // read where beta is 1; may be d
  void* d = nullptr;
  const void* bias = nullptr;  // [m], where the epilogue has one
  float beta = 0;
};

// The matrix products of one rank.  Products of 16-bit numbers are accumulated in float32;
// float32 is multiplied as float32, or as tf32 where the precision says so.
class CublasLtMatmul {
 public:
  // `streams` are all that products run on, and beside them; they wait while candidates are timed.
  CublasLtMatmul(CudaDevice& device, std::vector<CudaStream*> streams, Precision precision);
  ~CublasLtMatmul();

  CublasLtMatmul(const CublasLtMatmul&) = delete;
  CublasLtMatmul& operator=(const CublasLtMatmul&) = delete;

  // Bytes of scratch memory that Run needs, aligned to 256 bytes.
  static int64_t ScratchBytes();

  // Memory, unused outside of calls and larger than the L2 cache, that is overwritten before each
  // timed product: in a pass over many layers a product finds its weights in no cache.  B is then
  // read: tokens' activations and their gradients were written by the kernel before.  Without this
  // memory products are timed on operands that earlier ones have left in the cache.
  struct FlushMemory {
    void* data = nullptr;
    int64_t size_bytes = 0;
  };
  void set_flush_memory(const FlushMemory& flush) { flush_ = flush; }

  // Where a product runs: a stream, and scratch memory that nobody else uses meanwhile.
  struct Place {
    CudaStream& stream;
    void* scratch;
  };

  // While tuning is forbidden, a product of a new shape is our bug.
  void set_tuning(Tuning tuning) { tuning_ = tuning; }

  // Enqueues the product.
  void Run(const MatmulShape& shape, const MatmulOperands& operands, const Place& place);

 private:
  struct Plan;

  // What a plan depends on: the alignments decide which algorithms may be used.
  struct Key {
    MatmulShape shape;
    uint32_t alignment_bytes = 0;  // the least of all operands

    auto operator<=>(const Key&) const = default;
  };

  const Plan& FindOrMakePlan(const Key& key, const MatmulOperands& operands, const Place& place);
  void ChooseAlgorithm(const Key& key, const MatmulOperands& operands, const Place& place,
                       Plan& plan);
  std::vector<cublasLtMatmulAlgo_t> CandidatesFor(const Key& key, const Plan& plan) const;
  void PrepareCache(const MatmulShape& shape, const MatmulOperands& operands,
                    const CudaStream& stream) const;
  cublasStatus_t Enqueue(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm,
                         const MatmulOperands& operands, const Place& place);

  CudaDevice& device_;
  std::vector<CudaStream*> streams_;
  Precision precision_;
  FlushMemory flush_;
  Tuning tuning_ = Tuning::kAllowed;
  cublasLtHandle_t handle_ = nullptr;
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace sluice::cuda
