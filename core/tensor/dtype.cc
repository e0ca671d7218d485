#include "core/tensor/dtype.h"

#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/suggest.h"

namespace sluice {

int64_t SizeOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
      return 8;
    case DType::kFloat32:
      return 4;
    case DType::kBFloat16:
    case DType::kFloat16:
      return 2;
  }
  SLUICE_CHECK(false);
  return 0;
}

std::string_view Name(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
      return "f64";
    case DType::kFloat32:
      return "f32";
    case DType::kBFloat16:
      return "bf16";
    case DType::kFloat16:
      return "fp16";
  }
  SLUICE_CHECK(false);
  return "";
}

double UnitRoundoff(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
      return 0x1p-53;
    case DType::kFloat32:
      return 0x1p-24;
    case DType::kBFloat16:
      return 0x1p-8;
    case DType::kFloat16:
      return 0x1p-11;
  }
  SLUICE_CHECK(false);
  return 0;
}

std::string_view Name(Precision precision) {
  return precision == Precision::kTf32 ? "tf32" : Name(StorageDType(precision));
}

Precision ParsePrecision(std::string_view name) {
  std::vector<std::string> known;
  for (int i = 0; i <= static_cast<int>(Precision::kFloat16); ++i) {
    const auto precision = static_cast<Precision>(i);
    if (Name(precision) == name) return precision;
    known.emplace_back(Name(precision));
  }
  throw Error(UnknownName("dtype", name, known));
}

DType StorageDType(Precision precision) {
  switch (precision) {
    case Precision::kFloat64:
      return DType::kFloat64;
    case Precision::kFloat32:
    case Precision::kTf32:
      return DType::kFloat32;
    case Precision::kBFloat16:
      return DType::kBFloat16;
    case Precision::kFloat16:
      return DType::kFloat16;
  }
  SLUICE_CHECK(false);
  return DType::kFloat32;
}

DType AccumulatorDType(Precision precision) {
  return precision == Precision::kFloat64 ? DType::kFloat64 : DType::kFloat32;
}

DType ParseGradDType(std::string_view name, Precision precision) {
  const DType accumulator = AccumulatorDType(precision);
  const DType storage = StorageDType(precision);
  for (const DType dtype : {accumulator, storage}) {
    if (Name(dtype) == name) return dtype;
  }
  std::string valid(Name(accumulator));
  if (storage != accumulator) valid += ", " + std::string(Name(storage));
  throw Error("grad_dtype " + std::string(name) + " does not go with dtype " +
              std::string(Name(precision)) + "; valid with it: " + valid);
}

}  // namespace sluice
