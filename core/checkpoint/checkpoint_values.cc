#include "core/checkpoint/checkpoint_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/checkpoint/reference_checkpoint.h"
#include "core/tensor/convert.h"

namespace sluice {

void ReadAsFloat64(const SafetensorsReader& file, const std::string& name, int64_t element_begin,
                   std::span<double> out) {
  const SafetensorsTensor* tensor = file.Find(name);
  SLUICE_CHECK(tensor != nullptr);
  const std::optional<DType> dtype = ReferenceDType(tensor->dtype);
  SLUICE_CHECK(dtype.has_value());
  if (*dtype == DType::kFloat64) {
    return file.ReadElements(name, element_begin, std::as_writable_bytes(out));
  }
  std::vector<std::byte> bytes(out.size() * static_cast<size_t>(SizeOf(*dtype)));
  file.ReadElements(name, element_begin, bytes);
  ConvertTo(out, Tensor(bytes.data(), *dtype, {std::ssize(out)}));
}

namespace {

// As ReadAsFloat64.  Throws Error naming the element unless all numbers are finite.
void ReadInitialValues(const SafetensorsReader& file, const std::string& name,
                       int64_t element_begin, std::span<double> out) {
  ReadAsFloat64(file, name, element_begin, out);
  const auto found = std::ranges::find_if_not(out, [](double x) { return std::isfinite(x); });
  if (found == out.end()) return;
  throw Error(fmt::format("'{}': element {} of tensor {} is {}; initial values must be finite",
                          file.path(), element_begin + (found - out.begin()), name,
                          std::isnan(*found) ? std::abs(*found) : *found));
}

}  // namespace

template <typename Draw>
void CheckpointValues::Compare(const std::string& name, std::span<const double> values,
                               const Draw& draw) const {
  if (!are_drawn_) return;
  std::vector<double> drawn(values.size());
  draw(drawn);
  const double unit_roundoff = UnitRoundoff(*ReferenceDType(file_.Find(name)->dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    const double allowed = 8 * unit_roundoff * std::max(1.0, std::abs(drawn[i]));
    if (!(std::abs(values[i] - drawn[i]) <= allowed)) are_drawn_ = false;
  }
}

void CheckpointValues::Parameter(int64_t layer, const ParameterSpec& parameter, const Block& block,
                                 std::span<double> out) const {
  const std::string name = ParameterName(layer, parameter.name);
  const int64_t num_columns = WholeBlock(parameter).num_columns;
  const bool has_whole_rows = block.num_columns == num_columns;
  const int64_t read_size = has_whole_rows ? block.num_elements() : block.num_columns;
  for (int64_t begin = 0; begin < block.num_elements(); begin += read_size) {
    const int64_t row = block.row_begin + begin / block.num_columns;
    ReadInitialValues(file_, name, row * num_columns + block.column_begin,
                      out.subspan(static_cast<size_t>(begin), static_cast<size_t>(read_size)));
  }
  Compare(name, out, [&](std::span<double> drawn) {
    FillParameter<double>({*seed_, layer}, parameter, block, drawn);
  });
}

void CheckpointValues::Input(int64_t element_begin, std::span<double> out) const {
  ReadInitialValues(file_, "input", element_begin, out);
  Compare("input", out,
          [&](std::span<double> drawn) { FillInput<double>(*seed_, element_begin, drawn); });
}

void CheckpointValues::Projection(int64_t element_begin, std::span<double> out) const {
  ReadInitialValues(file_, "projection", element_begin, out);
  Compare("projection", out,
          [&](std::span<double> drawn) { FillProjection<double>(*seed_, element_begin, drawn); });
}

void CheckpointValues::Prefix(int64_t, int64_t, std::span<double>) const { SLUICE_CHECK(false); }

}  // namespace sluice
