// cuDNN's graph API, opened when it is first asked for: a program that was built with cuDNN's
// headers runs, without its attention, where the library is missing.
//
//   if (const auto error = FindCudnnError()) throw Error(*error);
//   SLUICE_CUDNN_CHECK(Cudnn().create(&handle));
//
// The library is found as the dynamic linker finds any: LD_LIBRARY_PATH, the program's own run path
// (the toolkit that it was built with), the system.
#pragma once

#include <cudnn_graph.h>

#include <optional>
#include <string>

namespace sluice::cuda {

// The functions that are used, under their names in the library without "cudnn".
struct CudnnFunctions {
  decltype(&::cudnnGetVersion) get_version;
  decltype(&::cudnnGetErrorString) get_error_string;
  decltype(&::cudnnGetLastErrorString) get_last_error_string;
  decltype(&::cudnnCreate) create;
  decltype(&::cudnnSetStream) set_stream;
  decltype(&::cudnnBackendCreateDescriptor) create_descriptor;
  decltype(&::cudnnBackendDestroyDescriptor) destroy_descriptor;
  decltype(&::cudnnBackendSetAttribute) set_attribute;
  decltype(&::cudnnBackendGetAttribute) get_attribute;
  decltype(&::cudnnBackendFinalize) finalize;
  decltype(&::cudnnBackendExecute) execute;
};

// Why there is no cuDNN that can be used, as a sentence for sluice::Error; nothing if there is one.
std::optional<std::string> FindCudnnError();

// To be called only where FindCudnnError finds nothing.
const CudnnFunctions& Cudnn();

// What cuDNN says about a call that failed on this thread.
std::string CudnnErrorText(cudnnStatus_t status);

// For the macro below.
void CheckCudnn(cudnnStatus_t status, const char* expression, const char* file, int line);

}  // namespace sluice::cuda

// As SLUICE_CUDA_CHECK (core/device/cuda/cuda_check.h), for calls of cuDNN.
#define SLUICE_CUDNN_CHECK(expression) \
  ::sluice::cuda::CheckCudnn((expression), #expression, __FILE__, __LINE__)
