#include "core/model/initial_values.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/check.h"
#include "core/base/rng.h"

namespace sluice {
namespace {

// value = offset + u / divisor * scale, in this order; the identities are exact.
struct Distribution {
  double divisor = 1;
  double scale = 1;
  double offset = 0;
};

Distribution DistributionOf(const ParameterSpec& parameter) {
  switch (parameter.init) {
    case ParameterInit::kLinear:
      return {.divisor = std::sqrt(static_cast<double>(parameter.fan_in))};
    case ParameterInit::kNormScale:
      return {.scale = 0.1, .offset = 1};
    case ParameterInit::kNormShift:
      return {.scale = 0.1};
  }
  SLUICE_CHECK(false);
  return {};
}

// Consecutive elements of the whole tensor, in pieces that stay in the cache.
template <typename T>
void FillRange(const RandomStream& stream, const Distribution& distribution, int64_t element_begin,
               std::span<T> out) {
  constexpr size_t kPiece = 1024;
  std::array<double, kPiece> uniform;
  for (size_t begin = 0; begin < out.size(); begin += kPiece) {
    const size_t count = std::min(kPiece, out.size() - begin);
    stream.FillUniform(static_cast<uint64_t>(element_begin) + begin,
                       std::span(uniform).first(count));
    for (size_t i = 0; i < count; ++i) {
      out[begin + i] = static_cast<T>(distribution.offset +
                                      uniform[i] / distribution.divisor * distribution.scale);
    }
  }
}

template <typename T>
void FillNormal(const RandomStream& stream, int64_t element_begin, std::span<T> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<T>(stream.Normal(static_cast<uint64_t>(element_begin) + i));
  }
}

}  // namespace

Block WholeBlock(const ParameterSpec& parameter) {
  const int64_t num_rows = parameter.shape[0];
  return {0, num_rows, 0, parameter.shape.num_elements() / num_rows};
}

Block ShardBlock(const ParameterSpec& parameter, ShardIndex shard) {
  SLUICE_CHECK_GE(shard.index, 0);
  SLUICE_CHECK_LT(shard.index, shard.count);
  Block block = WholeBlock(parameter);
  if (parameter.shard_axis == ShardAxis::kRows) {
    SLUICE_CHECK_EQ(block.num_rows % shard.count, 0);
    block.num_rows /= shard.count;
    block.row_begin = shard.index * block.num_rows;
  } else if (parameter.shard_axis == ShardAxis::kColumns) {
    SLUICE_CHECK_EQ(block.num_columns % shard.count, 0);
    block.num_columns /= shard.count;
    block.column_begin = shard.index * block.num_columns;
  }
  return block;
}

template <typename T>
void FillParameter(const ParameterKey& key, const ParameterSpec& parameter, const Block& block,
                   std::span<T> out) {
  const Block whole = WholeBlock(parameter);
  SLUICE_CHECK_GE(block.row_begin, 0);
  SLUICE_CHECK_LE(block.row_begin + block.num_rows, whole.num_rows);
  SLUICE_CHECK_GE(block.column_begin, 0);
  SLUICE_CHECK_LE(block.column_begin + block.num_columns, whole.num_columns);
  SLUICE_CHECK_EQ(out.size(), static_cast<size_t>(block.num_elements()));
  const RandomStream stream(key.seed, ParameterName(key.layer, parameter.name));
  const Distribution distribution = DistributionOf(parameter);
  if (block.num_columns == whole.num_columns) {
    FillRange(stream, distribution, block.row_begin * whole.num_columns, out);
    return;
  }
  const auto num_columns = static_cast<size_t>(block.num_columns);
  for (int64_t row = 0; row < block.num_rows; ++row) {
    FillRange(stream, distribution,
              (block.row_begin + row) * whole.num_columns + block.column_begin,
              out.subspan(static_cast<size_t>(row) * num_columns, num_columns));
  }
}

template <typename T>
void FillInput(uint64_t seed, int64_t element_begin, std::span<T> out) {
  FillNormal(RandomStream(seed, "input"), element_begin, out);
}

template <typename T>
void FillProjection(uint64_t seed, int64_t element_begin, std::span<T> out) {
  FillNormal(RandomStream(seed, "projection"), element_begin, out);
}

template <typename T>
void FillPrefix(const ParameterKey& key, int64_t element_begin, std::span<T> out) {
  FillNormal(RandomStream(key.seed, ParameterName(key.layer, "prefix")), element_begin, out);
}

template void FillPrefix(const ParameterKey&, int64_t, std::span<double>);
template void FillParameter(const ParameterKey&, const ParameterSpec&, const Block&,
                            std::span<double>);
template void FillParameter(const ParameterKey&, const ParameterSpec&, const Block&,
                            std::span<float>);
template void FillInput(uint64_t, int64_t, std::span<double>);
template void FillInput(uint64_t, int64_t, std::span<float>);
template void FillProjection(uint64_t, int64_t, std::span<double>);
template void FillProjection(uint64_t, int64_t, std::span<float>);

}  // namespace sluice
