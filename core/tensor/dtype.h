// Element types of tensors, and the precisions a run is made in.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice {

// How one element is stored.
enum class DType : uint8_t { kFloat64, kFloat32, kBFloat16, kFloat16 };

// Bytes of one element.
int64_t SizeOf(DType dtype);

// Whether it is bf16 or fp16.
constexpr bool Is16Bit(DType dtype) {
  return dtype == DType::kBFloat16 || dtype == DType::kFloat16;
}

// "f64", "f32", "bf16", "fp16".
std::string_view Name(DType dtype);

// Unit roundoff: half the distance from 1 to the next number.
double UnitRoundoff(DType dtype);

// What a run computes in, the value of --dtype.  tf32 is float32 storage with tf32 matrix units;
// bf16 and fp16 keep activations and matmul weights in 16 bits, everything else in float32.
enum class Precision : uint8_t { kFloat64, kFloat32, kTf32, kBFloat16, kFloat16 };

// "f64", "f32", "tf32", "bf16", "fp16".
std::string_view Name(Precision precision);

// Throws Error with a suggestion on any other name.
Precision ParsePrecision(std::string_view name);

// Activations, activation gradients, and the weights and biases of the four linear layers.
DType StorageDType(Precision precision);

// Layer-norm parameters and their gradients, statistics, softmax, the loss, and (unless asked
// otherwise, by --grad_dtype) the gradients of all other weights.
DType AccumulatorDType(Precision precision);

// What the gradients of the four linear layers' weights and biases may be kept in, the value of
// --grad_dtype: the accumulator type, which is the default, or the storage type, as frameworks do
// whose gradients have the type of their weights.  Throws Error, naming those that go with
// `precision`, on any other name.
DType ParseGradDType(std::string_view name, Precision precision);

}  // namespace sluice
