// cuBLASLt's functions, as its header declares them, of a library that is opened when the first of
// them is called: it takes half a gigabyte of address space, which a run on the cpu may not have.
#include <cublasLt.h>

#include <string>

#include "core/base/shared_library.h"

namespace {

sluice::SharedLibrary& TheLibrary() {
  static sluice::SharedLibrary library(
      {.file = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR), .user = "--device=cuda"});
  return library;
}

}  // namespace

#define FUNCTION(name) SLUICE_FUNCTION_OF(TheLibrary(), name)

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) { return FUNCTION(cublasLtCreate)(handle); }

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return FUNCTION(cublasLtDestroy)(handle);
}

const char* cublasLtGetStatusName(cublasStatus_t status) {
  return FUNCTION(cublasLtGetStatusName)(status);
}

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return FUNCTION(cublasLtGetStatusString)(status);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t compute,
                              const void* alpha, const void* a, cublasLtMatrixLayout_t a_layout,
                              const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  return FUNCTION(cublasLtMatmul)(handle, compute, alpha, a, a_layout, b, b_layout, beta, c,
                                  c_layout, d, d_layout, algorithm, workspace, workspace_bytes,
                                  stream);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a_layout,
    cublasLtMatrixLayout_t b_layout, cublasLtMatrixLayout_t c_layout,
    cublasLtMatrixLayout_t d_layout, cublasLtMatmulPreference_t preference, int max_results,
    cublasLtMatmulHeuristicResult_t* results, int* num_results) {
  return FUNCTION(cublasLtMatmulAlgoGetHeuristic)(handle, operation, a_layout, b_layout, c_layout,
                                                  d_layout, preference, max_results, results,
                                                  num_results);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation,
                                        cublasComputeType_t compute_type,
                                        cudaDataType_t scale_type) {
  return FUNCTION(cublasLtMatmulDescCreate)(operation, compute_type, scale_type);
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  return FUNCTION(cublasLtMatmulDescDestroy)(operation);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t value_bytes) {
  return FUNCTION(cublasLtMatmulDescSetAttribute)(operation, attribute, value, value_bytes);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return FUNCTION(cublasLtMatmulPreferenceCreate)(preference);
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return FUNCTION(cublasLtMatmulPreferenceDestroy)(preference);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t value_bytes) {
  return FUNCTION(cublasLtMatmulPreferenceSetAttribute)(preference, attribute, value, value_bytes);
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          uint64_t num_rows, uint64_t num_columns,
                                          int64_t leading_dimension) {
  return FUNCTION(cublasLtMatrixLayoutCreate)(layout, type, num_rows, num_columns,
                                              leading_dimension);
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return FUNCTION(cublasLtMatrixLayoutDestroy)(layout);
}
