#include "core/tensor/tensor.h"

#include <fmt/format.h>

namespace sluice {

Shape::Shape(std::initializer_list<int64_t> extents) {
  SLUICE_CHECK_LE(extents.size(), static_cast<size_t>(kMaxRank));
  for (const int64_t extent : extents) {
    SLUICE_CHECK_GE(extent, 0);
    extents_[static_cast<size_t>(rank_++)] = extent;
  }
}

int64_t Shape::num_elements() const {
  int64_t product = 1;
  for (int axis = 0; axis < rank_; ++axis) product *= extents_[static_cast<size_t>(axis)];
  return product;
}

Shape Shape::WithRows(int64_t num_rows) const {
  SLUICE_CHECK_GE(rank_, 1);
  Shape shape = *this;
  shape.extents_[0] = num_rows;
  return shape;
}

std::string Shape::ToString() const {
  return fmt::format("[{}]", fmt::join(extents_.begin(), extents_.begin() + rank_, ", "));
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.ToString(); }

std::ostream& operator<<(std::ostream& out, DType dtype) { return out << Name(dtype); }

Tensor Tensor::Rows(int64_t begin, int64_t count) const {
  SLUICE_CHECK_GE(begin, 0);
  SLUICE_CHECK_GE(count, 0);
  SLUICE_CHECK_LE(begin + count, num_rows());
  char* first = static_cast<char*>(data_) + begin * row_size() * SizeOf(dtype_);
  return Tensor(first, dtype_, shape_.WithRows(count));
}

Tensor Tensor::Reshaped(Shape shape) const {
  SLUICE_CHECK_EQ(shape.num_elements(), num_elements());
  return Tensor(data_, dtype_, shape);
}

}  // namespace sluice
