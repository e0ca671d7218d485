#include "core/checkpoint/safetensors_header.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/base/error.h"

namespace sluice {
namespace {

struct DTypeRow {
  SafetensorsDType dtype;
  std::string_view name;
  int64_t bits;
};

constexpr std::array kDTypes = {
    DTypeRow{SafetensorsDType::kBool, "BOOL", 8},
    DTypeRow{SafetensorsDType::kF4, "F4", 4},
    DTypeRow{SafetensorsDType::kF6E2M3, "F6_E2M3", 6},
    DTypeRow{SafetensorsDType::kF6E3M2, "F6_E3M2", 6},
    DTypeRow{SafetensorsDType::kU8, "U8", 8},
    DTypeRow{SafetensorsDType::kI8, "I8", 8},
    DTypeRow{SafetensorsDType::kF8E5M2, "F8_E5M2", 8},
    DTypeRow{SafetensorsDType::kF8E4M3, "F8_E4M3", 8},
    DTypeRow{SafetensorsDType::kF8E8M0, "F8_E8M0", 8},
    DTypeRow{SafetensorsDType::kF8E5M2Fnuz, "F8_E5M2FNUZ", 8},
    DTypeRow{SafetensorsDType::kF8E4M3Fnuz, "F8_E4M3FNUZ", 8},
    DTypeRow{SafetensorsDType::kI16, "I16", 16},
    DTypeRow{SafetensorsDType::kU16, "U16", 16},
    DTypeRow{SafetensorsDType::kF16, "F16", 16},
    DTypeRow{SafetensorsDType::kBF16, "BF16", 16},
    DTypeRow{SafetensorsDType::kI32, "I32", 32},
    DTypeRow{SafetensorsDType::kU32, "U32", 32},
    DTypeRow{SafetensorsDType::kF32, "F32", 32},
    DTypeRow{SafetensorsDType::kC64, "C64", 64},
    DTypeRow{SafetensorsDType::kF64, "F64", 64},
    DTypeRow{SafetensorsDType::kI64, "I64", 64},
    DTypeRow{SafetensorsDType::kU64, "U64", 64},
};

const DTypeRow& RowOf(SafetensorsDType dtype) {
  const auto index = static_cast<size_t>(dtype);
  SLUICE_CHECK_LT(index, kDTypes.size());
  SLUICE_CHECK(kDTypes[index].dtype == dtype);
  return kDTypes[index];
}

constexpr std::string_view kMetadataKey = "__metadata__";

// No tensor library has more; a hostile header could otherwise spend 100 MB on one shape.
constexpr size_t kMaxDimensions = 64;

// Returns the index of the first byte that is not UTF-8 (RFC 3629: no overlong forms, surrogates or
// code points over U+10FFFF), if there is one.
std::optional<size_t> FirstNonUtf8(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  for (size_t i = 0; i < text.size();) {
    const unsigned char lead = byte(i);
    const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if ((lead >= 0x80 && lead < 0xc2) || lead > 0xf4 || length > text.size() - i) return i;
    for (size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return i;
    }
    if (length > 2) {
      const unsigned char second = byte(i + 1);
      if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
          (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
        return i;
      }
    }
    i += length;
  }
  return std::nullopt;
}

struct PlacedTensor {
  SafetensorsTensor tensor;
  int64_t begin = 0;
  int64_t end = 0;
};

// Takes the header's JSON value by value and throws at the first that the format does not know, so
// that neither depth nor size of a hostile header costs memory or stack.
class HeaderHandler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<PlacedTensor> tensors;
  SafetensorsMetadata metadata;

  bool null() override { Unexpected("null"); }
  bool boolean(bool value) override { Unexpected(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { Unexpected(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { Unexpected(text); }
  bool binary(binary_t&) override { Unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::kArray || value > std::numeric_limits<int64_t>::max())
      Unexpected(std::to_string(value));
    if (numbers_.size() == kMaxDimensions)
      FailTensor(fmt::format("{} has over {} numbers", field_, kMaxDimensions));
    numbers_.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) {
      if (!metadata.emplace(key_, value).second)
        throw Error(fmt::format("{} names '{}' twice", kMetadataKey, Printable(key_)));
      return true;
    }
    if (place_ != Place::kTensor || field_ != "dtype")
      Unexpected(fmt::format("the string '{}'", Printable(value)));
    const auto row = std::ranges::find(kDTypes, value, &DTypeRow::name);
    if (row == kDTypes.end()) {
      std::vector<std::string_view> known;
      for (const DTypeRow& each : kDTypes) known.push_back(each.name);
      FailTensor(
          fmt::format("unknown dtype '{}'; known: {}", Printable(value), fmt::join(known, ", ")));
    }
    dtype_ = row->dtype;
    return true;
  }

  bool start_object(size_t) override {
    switch (place_) {
      case Place::kOutside:
        place_ = Place::kRoot;
        return true;
      case Place::kRoot:
        if (key_ != kMetadataKey) {
          place_ = Place::kTensor;
        } else if (has_metadata_) {
          throw Error(fmt::format("{} is there twice", kMetadataKey));
        } else {
          place_ = Place::kMetadata;
          has_metadata_ = true;
        }
        return true;
      default:
        Unexpected("an object");
    }
  }

  bool key(string_t& value) override {
    if (place_ != Place::kTensor) {
      key_ = std::move(value);
      return true;
    }
    field_ = value;
    const bool is_known = field_ == "dtype" || field_ == "shape" || field_ == "data_offsets";
    if (!is_known) {
      FailTensor(
          fmt::format("unknown field '{}'; known: dtype, shape, data_offsets", Printable(field_)));
    }
    const bool is_given = field_ == "dtype"   ? dtype_.has_value()
                          : field_ == "shape" ? shape_.has_value()
                                              : offsets_.has_value();
    if (is_given) FailTensor(fmt::format("{} is given twice", field_));
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor) FinishTensor();
    place_ = place_ == Place::kRoot ? Place::kOutside : Place::kRoot;
    return true;
  }

  bool start_array(size_t) override {
    if (place_ != Place::kTensor || field_ == "dtype") Unexpected("an array");
    place_ = Place::kArray;
    numbers_.clear();
    return true;
  }

  bool end_array() override {
    place_ = Place::kTensor;
    if (field_ == "shape") {
      shape_ = numbers_;
    } else if (numbers_.size() != 2) {
      FailTensor(fmt::format("data_offsets has {} numbers; it must have 2, begin and end",
                             numbers_.size()));
    } else {
      offsets_ = {numbers_[0], numbers_[1]};
    }
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    throw Error(fmt::format("the header is not JSON: syntax error at its byte {}", position));
  }

 private:
  enum class Place { kOutside, kRoot, kMetadata, kTensor, kArray };

  [[noreturn]] void FailTensor(std::string_view rule) const {
    throw Error(fmt::format("tensor '{}': {}", Printable(key_), rule));
  }

  // A value of a kind that has no business where it stands.
  [[noreturn]] void Unexpected(std::string_view found_text) const {
    const std::string found = Printable(found_text);
    switch (place_) {
      case Place::kOutside:
        throw Error(fmt::format("the header is {}; it must be an object", found));
      case Place::kRoot:
        if (key_ == kMetadataKey) {
          throw Error(fmt::format("{} is {}; it must be an object of strings", key_, found));
        }
        FailTensor(fmt::format("it is {}; it must be an object", found));
      case Place::kMetadata:
        throw Error(fmt::format("{} '{}' is {}; it must be a string", kMetadataKey, Printable(key_),
                                found));
      case Place::kTensor:
        FailTensor(fmt::format("{} is {}; it must be {}", field_, found,
                               field_ == "dtype" ? "a string" : "an array of integers"));
      case Place::kArray:
        FailTensor(
            fmt::format("{} holds {}; it must hold integers from 0 to 2^63 - 1", field_, found));
    }
    SLUICE_CHECK(false);
    std::abort();
  }

  void FinishTensor() {
    if (!dtype_) FailTensor("dtype is missing");
    if (!shape_) FailTensor("shape is missing");
    if (!offsets_) FailTensor("data_offsets is missing");
    tensors.push_back(
        {{std::move(key_), *dtype_, std::move(*shape_)}, (*offsets_)[0], (*offsets_)[1]});
    dtype_.reset();
    shape_.reset();
    offsets_.reset();
  }

  Place place_ = Place::kOutside;
  bool has_metadata_ = false;
  std::string key_;    // tensor or metadata key that the parser is in
  std::string field_;  // of the tensor
  std::vector<int64_t> numbers_;
  std::optional<SafetensorsDType> dtype_;
  std::optional<std::vector<int64_t>> shape_;
  std::optional<std::array<int64_t, 2>> offsets_;
};

void CheckNamesDiffer(const std::vector<PlacedTensor>& tensors) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const PlacedTensor& each : tensors) names.push_back(each.tensor.name);
  std::ranges::sort(names);
  const auto twin = std::ranges::adjacent_find(names);
  if (twin != names.end())
    throw Error(fmt::format("tensor '{}': the name is there twice", Printable(*twin)));
}

// Checks that the tensors, in the order of their data, cover it exactly.
void CheckLayout(const std::vector<PlacedTensor>& tensors, int64_t data_bytes) {
  int64_t covered = 0;
  const SafetensorsTensor* previous = nullptr;
  for (const PlacedTensor& each : tensors) {
    const auto fail = [&](const std::string& rule) {
      throw Error(fmt::format("tensor '{}': {}", Printable(each.tensor.name), rule));
    };
    if (each.begin < covered) {
      fail(fmt::format("its data begins at byte {}, inside that of '{}', which ends at {}",
                       each.begin, Printable(previous->name), covered));
    }
    if (each.begin > covered && previous == nullptr)
      fail(fmt::format("it is the first and begins at byte {}, not 0", each.begin));
    if (each.begin > covered) {
      fail(fmt::format("bytes {} to {} before it belong to no tensor", covered, each.begin));
    }
    if (each.end > data_bytes) {
      fail(
          fmt::format("its data ends at byte {}, but the file is truncated: it has {} bytes of "
                      "data",
                      each.end, data_bytes));
    }
    covered = each.end;
    previous = &each.tensor;
  }
  if (covered < data_bytes) {
    throw Error(fmt::format("{} trailing bytes after the data of {}", data_bytes - covered,
                            previous == nullptr
                                ? "no tensors"
                                : fmt::format("tensor '{}'", Printable(previous->name))));
  }
}

void CheckSize(const PlacedTensor& placed) {
  const auto fail = [&](const std::string& rule) {
    throw Error(fmt::format("tensor '{}': {}", Printable(placed.tensor.name), rule));
  };
  if (placed.end < placed.begin) {
    fail(fmt::format("data_offsets [{}, {}] end before they begin", placed.begin, placed.end));
  }
  const int64_t size_bytes = SizeBytes(placed.tensor);
  if (placed.end - placed.begin != size_bytes) {
    fail(fmt::format("data_offsets [{}, {}] hold {} bytes, but {} x [{}] are {}", placed.begin,
                     placed.end, placed.end - placed.begin, Name(placed.tensor.dtype),
                     fmt::join(placed.tensor.shape, ", "), size_bytes));
  }
}

}  // namespace

std::string Printable(std::string_view text) {
  constexpr size_t kMaxShown = 64;
  std::string shown;
  for (const char c : text.substr(0, kMaxShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte > 0x7e) {
      fmt::format_to(std::back_inserter(shown), "\\x{:02x}", byte);
    } else {
      shown.push_back(c);
    }
  }
  if (text.size() > kMaxShown) shown += "...";
  return shown;
}

std::string_view Name(SafetensorsDType dtype) { return RowOf(dtype).name; }

int64_t SizeBytes(const SafetensorsTensor& tensor) {
  int64_t bits = RowOf(tensor.dtype).bits;
  bool overflow = false;
  for (const int64_t extent : tensor.shape) {
    SLUICE_CHECK_GE(extent, 0);
    overflow |= __builtin_mul_overflow(bits, extent, &bits);
  }
  const auto fail = [&](std::string_view rule) {
    throw Error(fmt::format("tensor '{}': the size of {} x [{}] {}", Printable(tensor.name),
                            Name(tensor.dtype), fmt::join(tensor.shape, ", "), rule));
  };
  if (overflow) fail("overflows 63 bits");
  if (bits % 8 != 0) fail("is no whole number of bytes");
  return bits / 8;
}

SafetensorsHeader ParseSafetensorsHeader(std::string_view text, int64_t data_bytes) {
  if (text.empty()) throw Error("the header is empty; the shortest is {}");
  if (const auto position = FirstNonUtf8(text))
    throw Error(fmt::format("the header is not UTF-8 at its byte {}", *position));
  // The parser would take a NUL for the end, and skip a byte order mark.
  if (const size_t position = text.find('\0'); position != text.npos)
    throw Error(fmt::format("the header is not JSON: NUL at its byte {}", position));
  if (text[0] != '{') {
    throw Error(
        fmt::format("the header begins with '{}'; it must be a JSON object and begin with "
                    "'{{'",
                    Printable(text.substr(0, 1))));
  }

  HeaderHandler handler;
  SLUICE_CHECK(nlohmann::json::sax_parse(text.begin(), text.end(), &handler));

  CheckNamesDiffer(handler.tensors);
  for (const PlacedTensor& each : handler.tensors) CheckSize(each);
  std::ranges::stable_sort(handler.tensors, {}, [](const PlacedTensor& each) {
    return std::pair(each.begin, each.end);
  });
  CheckLayout(handler.tensors, data_bytes);

  SafetensorsHeader header;
  header.metadata = std::move(handler.metadata);
  header.tensors.reserve(handler.tensors.size());
  for (PlacedTensor& each : handler.tensors) header.tensors.push_back(std::move(each.tensor));
  return header;
}

std::string FormatSafetensorsHeader(const SafetensorsHeader& header) {
  const auto quoted = [](const std::string& text) {
    SLUICE_CHECK(!FirstNonUtf8(text));
    return nlohmann::json(text).dump();
  };
  std::vector<std::string_view> names;
  std::string text = "{";
  const auto out = std::back_inserter(text);
  if (!header.metadata.empty()) {
    fmt::format_to(out, "\"{}\":{{", kMetadataKey);
    for (const auto& [key, value] : header.metadata)
      fmt::format_to(out, "{}:{},", quoted(key), quoted(value));
    text.back() = '}';
    text += ',';
  }
  int64_t offset = 0;
  for (const SafetensorsTensor& tensor : header.tensors) {
    SLUICE_CHECK_NE(tensor.name, kMetadataKey);
    SLUICE_CHECK_LE(tensor.shape.size(), kMaxDimensions);
    names.push_back(tensor.name);
    const int64_t begin = offset;
    offset = CheckedSum("the size of all tensors", offset, SizeBytes(tensor));
    fmt::format_to(out, R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}},)",
                   quoted(tensor.name), Name(tensor.dtype), fmt::join(tensor.shape, ","), begin,
                   offset);
  }
  if (text.back() == ',') text.pop_back();
  text += '}';
  std::ranges::sort(names);
  SLUICE_CHECK(std::ranges::adjacent_find(names) == names.end());

  constexpr size_t kAlignment = 8;
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  if (text.size() > kMaxSafetensorsHeaderBytes) {
    throw Error(
        fmt::format("a safetensors header of {} tensors would be {} bytes; the format "
                    "allows {}",
                    header.tensors.size(), text.size(), kMaxSafetensorsHeaderBytes));
  }
  std::string length(kSafetensorsLengthBytes, '\0');
  for (size_t i = 0; i < length.size(); ++i)
    length[i] = static_cast<char>((text.size() >> (8 * i)) & 0xff);
  return length + text;
}

}  // namespace sluice
