// The element types of CUDA kernels, and the step from a DType to a template argument.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "core/base/check.h"
#include "core/tensor/tensor.h"

namespace sluice {

template <>
struct DTypeOf<__nv_bfloat16> {
  static constexpr DType value = DType::kBFloat16;
};
template <>
struct DTypeOf<__half> {
  static constexpr DType value = DType::kFloat16;
};

namespace cuda {

template <typename T>
struct ElementType {
  using type = T;
};

// Calls function(ElementType<T>{}) with the T that `dtype` stands for; float64 is not for CUDA.
//
//   DispatchDType(x.dtype(), [&](auto element) {
//     using T = typename decltype(element)::type;
//     ...
//   });
template <typename Function>
void DispatchDType(DType dtype, const Function& function) {
  switch (dtype) {
    case DType::kFloat32:
      return function(ElementType<float>{});
    case DType::kBFloat16:
      return function(ElementType<__nv_bfloat16>{});
    case DType::kFloat16:
      return function(ElementType<__half>{});
    case DType::kFloat64:
      break;
  }
  SLUICE_CHECK(dtype != DType::kFloat64);
}

// The same for bf16 and fp16 alone.
template <typename Function>
void Dispatch16Bit(DType dtype, const Function& function) {
  SLUICE_CHECK(Is16Bit(dtype));
  if (dtype == DType::kFloat16) return function(ElementType<__half>{});
  function(ElementType<__nv_bfloat16>{});
}

}  // namespace cuda
}  // namespace sluice
