// A view of contiguous row-major memory with a shape and an element type.  Owns nothing
// (core/device/device.h: Buffer does) and is passed by value.  The memory may be on any device;
// only code of that device looks inside.
//
//   Tensor x(buffer.data(), DType::kFloat32, {seq_len, batch_size, hidden_size});
//   Tensor slice = x.Rows(128, 64);              // positions 128 .. 191, all sequences
//   float* first = slice.Data<float>();          // checks the element type
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <string>

#include "core/base/check.h"
#include "core/tensor/dtype.h"

namespace sluice {

// Up to five extents, outermost first.
class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents);

  int rank() const { return rank_; }
  int64_t operator[](int axis) const {
    SLUICE_CHECK_LT(static_cast<unsigned>(axis), static_cast<unsigned>(rank_));
    return extents_[static_cast<size_t>(axis)];
  }
  int64_t num_elements() const;

  // This shape with another outermost extent.
  Shape WithRows(int64_t num_rows) const;

  bool operator==(const Shape&) const = default;

  // "[2, 3, 4]".
  std::string ToString() const;

 private:
  std::array<int64_t, kMaxRank> extents_ = {};
  int rank_ = 0;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);
std::ostream& operator<<(std::ostream& out, DType dtype);

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::kFloat64;
};
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kFloat32;
};

class Tensor {
 public:
  // Absent: optional arguments of kernels default to it.
  Tensor() = default;
  Tensor(void* data, DType dtype, Shape shape) : data_(data), dtype_(dtype), shape_(shape) {}

  bool present() const { return data_ != nullptr; }
  void* data() const { return data_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t num_elements() const { return shape_.num_elements(); }
  int64_t num_bytes() const { return num_elements() * SizeOf(dtype_); }

  // The outermost extent, and the number of elements in each of its rows.
  int64_t num_rows() const { return shape_[0]; }
  int64_t row_size() const { return shape_[0] == 0 ? 0 : num_elements() / shape_[0]; }

  // The data as T*; T must be the element type.
  template <typename T>
  T* Data() const {
    SLUICE_CHECK_EQ(dtype_, DTypeOf<T>::value);
    return static_cast<T*>(data_);
  }

  // A view of rows begin .. begin + count - 1 of the outermost extent.
  Tensor Rows(int64_t begin, int64_t count) const;

  // The same elements in another shape of equal size.
  Tensor Reshaped(Shape shape) const;

 private:
  void* data_ = nullptr;
  DType dtype_ = DType::kFloat32;
  Shape shape_;
};

}  // namespace sluice
