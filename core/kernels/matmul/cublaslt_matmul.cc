#include "core/kernels/matmul/cublaslt_matmul.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/device/cuda/cuda_check.h"
#include "core/kernels/matmul/autotune.h"
#include "core/kernels/matmul/hopper_matmul.h"

namespace sluice::cuda {
namespace {

// What NVIDIA advises for Hopper; no algorithm asks for more.
constexpr int64_t kScratchBytes = int64_t{32} << 20;
// The most that cuBLASLt gives, whatever it is asked for.
constexpr int kMaxCandidates = 8;
constexpr uint32_t kMaxAlignmentBytes = 256;

cudaDataType_t CudaType(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return CUDA_R_32F;
    case DType::kBFloat16:
      return CUDA_R_16BF;
    case DType::kFloat16:
      return CUDA_R_16F;
    case DType::kFloat64:
      break;
  }
  SLUICE_CHECK(dtype != DType::kFloat64);
  return CUDA_R_32F;
}

std::string Describe(const MatmulShape& shape) {
  const auto letter = [](Transpose transpose) { return transpose == Transpose::kYes ? 'T' : 'N'; };
  return fmt::format("m {}, n {}, k {}, op {}{}, {} to {}, epilogue {}", shape.m, shape.n, shape.k,
                     letter(shape.transpose_a), letter(shape.transpose_b), Name(shape.input_dtype),
                     Name(shape.output_dtype), static_cast<int>(shape.epilogue));
}

cublasLtEpilogue_t CublasEpilogue(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::kNone:
      return CUBLASLT_EPILOGUE_DEFAULT;
    case Epilogue::kBias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::kBiasRelu:
      return CUBLASLT_EPILOGUE_RELU_BIAS;
    case Epilogue::kRelu:
      return CUBLASLT_EPILOGUE_RELU;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

bool HasBias(Epilogue epilogue) {
  return epilogue == Epilogue::kBias || epilogue == Epilogue::kBiasRelu;
}

bool HasRelu(Epilogue epilogue) {
  return epilogue == Epilogue::kRelu || epilogue == Epilogue::kBiasRelu;
}

// The product in the terms of our own kernels.
HopperMatmulArgs OwnArgs(const MatmulShape& shape, const MatmulOperands& operands) {
  return {.num_rows = shape.n,
          .num_columns = shape.m,
          .num_summed = shape.k,
          .dtype = shape.input_dtype,
          .a = operands.b,
          .b = operands.a,
          .bias = HasBias(shape.epilogue) ? operands.bias : nullptr,
          .added = operands.beta != 0 ? operands.c : nullptr,
          .d = operands.d,
          .activation = HasRelu(shape.epilogue) ? Activation::kRelu : Activation::kNone};
}

// How many of them compute it: the forward of a linear layer, in 16 bits.  That depends on shape
// and alignment alone.
int NumOwnVariants(const MatmulShape& shape, const MatmulOperands& operands) {
  const bool is_forward = shape.transpose_a == Transpose::kYes &&
                          shape.transpose_b == Transpose::kNo &&
                          shape.input_dtype == shape.output_dtype;
  return is_forward && SupportsHopperMatmul(OwnArgs(shape, operands)) ? NumHopperMatmulVariants()
                                                                      : 0;
}

uint32_t AlignmentOf(const void* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  const auto lowest_bit = address & (~address + 1);
  return address == 0 ? kMaxAlignmentBytes
                      : static_cast<uint32_t>(std::min<uintptr_t>(lowest_bit, kMaxAlignmentBytes));
}

// An owned layout of a column-major matrix as it is stored.
class Layout {
 public:
  Layout(DType dtype, int64_t num_rows, int64_t num_columns) {
    SLUICE_CUBLAS_CHECK(cublasLtMatrixLayoutCreate(&handle_, CudaType(dtype),
                                                   static_cast<uint64_t>(num_rows),
                                                   static_cast<uint64_t>(num_columns), num_rows));
  }
  ~Layout() { SLUICE_CUBLAS_CHECK(cublasLtMatrixLayoutDestroy(handle_)); }

  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;

  cublasLtMatrixLayout_t handle() const { return handle_; }

 private:
  cublasLtMatrixLayout_t handle_ = nullptr;
};

Layout MakeInput(DType dtype, Transpose transpose, int64_t num_rows, int64_t num_columns) {
  if (transpose == Transpose::kYes) std::swap(num_rows, num_columns);
  return Layout(dtype, num_rows, num_columns);
}

cublasOperation_t CublasOperation(Transpose transpose) {
  return transpose == Transpose::kYes ? CUBLAS_OP_T : CUBLAS_OP_N;
}

template <typename T>
void SetAttribute(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute,
                  const T& value) {
  SLUICE_CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof(value)));
}

template <typename T>
void SetPreference(cublasLtMatmulPreference_t preference,
                   cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  SLUICE_CUBLAS_CHECK(
      cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)));
}

bool IsCapturing(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  SLUICE_CUDA_CHECK(cudaStreamIsCapturing(stream, &status));
  return status != cudaStreamCaptureStatusNone;
}

}  // namespace

struct CublasLtMatmul::Plan {
  Plan(const MatmulShape& shape, cublasComputeType_t compute_type)
      : a(MakeInput(shape.input_dtype, shape.transpose_a, shape.m, shape.k)),
        b(MakeInput(shape.input_dtype, shape.transpose_b, shape.k, shape.n)),
        d(shape.output_dtype, shape.m, shape.n),
        has_bias(HasBias(shape.epilogue)) {
    SLUICE_CUBLAS_CHECK(cublasLtMatmulDescCreate(&operation, compute_type, CUDA_R_32F));
    SetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, CublasOperation(shape.transpose_a));
    SetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSB, CublasOperation(shape.transpose_b));
    SetAttribute(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CublasEpilogue(shape.epilogue));
    if (has_bias) {
      SetAttribute(operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CudaType(shape.output_dtype));
    }
  }
  ~Plan() { SLUICE_CUBLAS_CHECK(cublasLtMatmulDescDestroy(operation)); }

  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  Layout a;
  Layout b;
  Layout d;  // and of C
  bool has_bias;
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatmulAlgo_t algorithm = {};
  std::optional<int> own_variant;  // instead of the algorithm
};

CublasLtMatmul::CublasLtMatmul(CudaDevice& device, std::vector<CudaStream*> streams,
                               Precision precision)
    : device_(device), streams_(std::move(streams)), precision_(precision) {
  SLUICE_CUBLAS_CHECK(cublasLtCreate(&handle_));
}

CublasLtMatmul::~CublasLtMatmul() {
  plans_.clear();
  SLUICE_CUBLAS_CHECK(cublasLtDestroy(handle_));
}

int64_t CublasLtMatmul::ScratchBytes() { return kScratchBytes; }

void CublasLtMatmul::Run(const MatmulShape& shape, const MatmulOperands& operands,
                         const Place& place) {
  Key key = {.shape = shape, .alignment_bytes = kMaxAlignmentBytes};
  for (const void* pointer :
       {operands.a, operands.b, operands.c, static_cast<const void*>(operands.d), operands.bias}) {
    key.alignment_bytes = std::min(key.alignment_bytes, AlignmentOf(pointer));
  }
  const Plan& plan = FindOrMakePlan(key, operands, place);
  if (plan.own_variant.has_value()) {
    SLUICE_CHECK(operands.beta == 0 || operands.beta == 1);
    RunHopperMatmul(*plan.own_variant, OwnArgs(shape, operands), place.stream.handle());
  } else {
    SLUICE_CUBLAS_CHECK(Enqueue(plan, plan.algorithm, operands, place));
  }
}

const CublasLtMatmul::Plan& CublasLtMatmul::FindOrMakePlan(const Key& key,
                                                           const MatmulOperands& operands,
                                                           const Place& place) {
  std::unique_ptr<Plan>& plan = plans_[key];
  if (plan == nullptr) {
    if (tuning_ == Tuning::kForbidden) {
      internal::CheckFailed(__FILE__, __LINE__,
                            "a product was not rehearsed: " + Describe(key.shape) +
                                fmt::format(", aligned to {} bytes", key.alignment_bytes));
    }
    const bool is_tf32 = precision_ == Precision::kTf32;
    plan = std::make_unique<Plan>(key.shape,
                                  is_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F);
    ChooseAlgorithm(key, operands, place, *plan);
  }
  return *plan;
}

std::vector<cublasLtMatmulAlgo_t> CublasLtMatmul::CandidatesFor(const Key& key,
                                                                const Plan& plan) const {
  cublasLtMatmulPreference_t preference = nullptr;
  SLUICE_CUBLAS_CHECK(cublasLtMatmulPreferenceCreate(&preference));
  SetPreference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                static_cast<uint64_t>(kScratchBytes));
  // The other two schemes round the parts of a split product to the output's 16 bits.
  SetPreference(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    SetPreference(preference, attribute, key.alignment_bytes);
  }
  std::array<cublasLtMatmulHeuristicResult_t, kMaxCandidates> results = {};
  int num_results = 0;
  SLUICE_CUBLAS_CHECK(cublasLtMatmulAlgoGetHeuristic(
      handle_, plan.operation, plan.a.handle(), plan.b.handle(), plan.d.handle(), plan.d.handle(),
      preference, kMaxCandidates, results.data(), &num_results));
  SLUICE_CUBLAS_CHECK(cublasLtMatmulPreferenceDestroy(preference));
  std::vector<cublasLtMatmulAlgo_t> candidates;
  for (int i = 0; i < num_results; ++i) candidates.push_back(results[static_cast<size_t>(i)].algo);
  return candidates;
}

void CublasLtMatmul::ChooseAlgorithm(const Key& key, const MatmulOperands& operands,
                                     const Place& place, Plan& plan) {
  SLUICE_CHECK(!IsCapturing(place.stream.handle()));  // run the work once before capturing it
  for (CudaStream* stream : streams_) stream->Synchronize();
  if (plan.has_bias) {
    SetAttribute(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.bias);
  }
  const std::vector<cublasLtMatmulAlgo_t> candidates = CandidatesFor(key, plan);

  // Timing must not change what the call reads: a result that is added to its own old contents goes
  // elsewhere meanwhile.
  MatmulOperands timed = operands;
  Buffer elsewhere;
  if (operands.beta != 0 && operands.c == operands.d) {
    elsewhere = device_.Allocate(key.shape.m * key.shape.n * SizeOf(key.shape.output_dtype),
                                 "the result of a matrix product while its algorithm is chosen");
    timed.d = elsewhere.data();
  }
  // Our own come after cuBLASLt's.  One of cuBLASLt's may turn out not to take these operands; it
  // then says so and does nothing.
  const auto own_variant_of = [&](size_t index) {
    return static_cast<int>(index - candidates.size());
  };
  const auto enqueue = [&](size_t index) {
    if (index < candidates.size()) {
      return Enqueue(plan, candidates[index], timed, place) == CUBLAS_STATUS_SUCCESS;
    }
    RunHopperMatmul(own_variant_of(index), OwnArgs(key.shape, timed), place.stream.handle());
    return true;
  };
  const auto num_own = static_cast<size_t>(NumOwnVariants(key.shape, timed));
  const Choice choice =
      Autotune(place.stream, {.count = candidates.size() + num_own,
                              .prepare = [&] { PrepareCache(key.shape, timed, place.stream); },
                              .enqueue = enqueue});
  SLUICE_CHECK_LT(choice.elapsed_ns, kNeverNs);
  if (choice.index < candidates.size()) {
    plan.algorithm = candidates[choice.index];
  } else {
    plan.own_variant = own_variant_of(choice.index);
  }
}

void CublasLtMatmul::PrepareCache(const MatmulShape& shape, const MatmulOperands& operands,
                                  const CudaStream& stream) const {
  if (flush_.data == nullptr) return;
  SLUICE_CUDA_CHECK(
      cudaMemsetAsync(flush_.data, 0, static_cast<size_t>(flush_.size_bytes), stream.handle()));
  const int64_t b_bytes = shape.k * shape.n * SizeOf(shape.input_dtype);
  SLUICE_CUDA_CHECK(cudaMemcpyAsync(flush_.data, operands.b,
                                    static_cast<size_t>(std::min(b_bytes, flush_.size_bytes)),
                                    cudaMemcpyDeviceToDevice, stream.handle()));
}

cublasStatus_t CublasLtMatmul::Enqueue(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm,
                                       const MatmulOperands& operands, const Place& place) {
  if (plan.has_bias) {
    SetAttribute(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.bias);
  }
  const float alpha = 1;
  const void* c = operands.beta != 0 ? operands.c : operands.d;
  return cublasLtMatmul(handle_, plan.operation, &alpha, operands.a, plan.a.handle(), operands.b,
                        plan.b.handle(), &operands.beta, c, plan.d.handle(), operands.d,
                        plan.d.handle(), &algorithm, place.scratch,
                        static_cast<size_t>(kScratchBytes), place.stream.handle());
}

}  // namespace sluice::cuda
