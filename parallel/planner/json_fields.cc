#include "parallel/planner/json_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/error.h"
#include "core/base/input_file.h"
#include "core/base/suggest.h"

namespace sluice {

JsonField::JsonField(std::shared_ptr<const nlohmann::json> document, std::string file)
    : document_(std::move(document)), value_(document_.get()), file_(std::move(file)) {}

JsonField::JsonField(const JsonField& parent, const nlohmann::json& value, std::string path)
    : document_(parent.document_), value_(&value), file_(parent.file_), path_(std::move(path)) {}

void JsonField::Fail(std::string_view what) const {
  throw Error(path_.empty() ? fmt::format("{}: {}", file_, what)
                            : fmt::format("{}: {}: {}", file_, path_, what));
}

JsonField JsonField::At(std::string_view key) const {
  const std::string path = path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
  if (!value_->is_object()) Fail("must be an object");
  const auto member = value_->find(std::string(key));
  if (member == value_->end()) Fail(fmt::format("field {} is missing", key));
  return {*this, *member, path};
}

std::vector<JsonField> JsonField::List() const {
  if (!value_->is_array()) Fail("must be a list");
  std::vector<JsonField> elements;
  for (const nlohmann::json& element : *value_) {
    elements.push_back({*this, element, fmt::format("{}[{}]", path_, elements.size())});
  }
  return elements;
}

std::string JsonField::Text() const {
  if (!value_->is_string()) Fail(fmt::format("{} is not a text", value_->dump()));
  return value_->get<std::string>();
}

size_t JsonField::Choice(const std::vector<std::string>& allowed) const {
  const auto found = std::ranges::find(allowed, Text());
  if (found == allowed.end()) Fail(UnknownName("value", Text(), allowed));
  return static_cast<size_t>(found - allowed.begin());
}

int64_t JsonField::Integer(int64_t min) const {
  if (!value_->is_number_integer() || value_->get<double>() > 9e18 ||
      value_->get<int64_t>() < min) {
    Fail(fmt::format("{} is not allowed: it must be an integer of at least {}", value_->dump(),
                     min));
  }
  return value_->get<int64_t>();
}

double JsonField::Number(double min) const {
  if (!value_->is_number() || !std::isfinite(value_->get<double>()) ||
      value_->get<double>() < min) {
    Fail(fmt::format("{} is not allowed: it must be a finite number of at least {}", value_->dump(),
                     min));
  }
  return value_->get<double>();
}

std::vector<double> JsonField::Numbers(double min) const {
  std::vector<double> numbers;
  for (const JsonField& element : List()) numbers.push_back(element.Number(min));
  return numbers;
}

std::vector<double> JsonField::PositiveSamples() const {
  std::vector<double> samples = Numbers(0);
  if (samples.empty()) Fail("must contain at least one number");
  for (const double sample : samples) {
    if (sample <= 0) Fail(fmt::format("{} is not allowed: it must be greater than 0", sample));
  }
  return samples;
}

void JsonField::CheckKeys(const std::vector<std::string>& keys) const {
  for (const std::string& key : keys) At(key);
  for (const auto& [key, value] : value_->items()) {
    if (std::ranges::find(keys, key) == keys.end()) Fail(UnknownName("field", key, keys));
  }
}

JsonField ParseJson(std::string_view text, const std::string& file) {
  try {
    return {std::make_shared<const nlohmann::json>(nlohmann::json::parse(text)), file};
  } catch (const nlohmann::json::parse_error& error) {
    throw Error(fmt::format("{}: is not JSON, or was cut short, at byte {} of {}", file, error.byte,
                            text.size()));
  }
}

JsonField ReadJsonFile(const std::string& path) { return ParseJson(ReadTextFile(path), path); }

}  // namespace sluice
