// Reads values from a JSON file, with errors that name the file and the field:
//
//   const JsonField root = ReadJsonFile(path);
//   root.CheckKeys({"format", "linear"});
//   for (const JsonField& point : root.At("linear").List()) point.At("samples_s").Numbers(0);
//
// An error reads "costs.json: linear[3].samples_s: ...".
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

// A value in a JSON document and the path to it. All functions throw Error if the value is not
// what they return.
class JsonField {
 public:
  JsonField(std::shared_ptr<const nlohmann::json> document, std::string file);

  // The member `key` of an object.
  JsonField At(std::string_view key) const;
  // The elements of a list.
  std::vector<JsonField> List() const;

  bool IsNull() const { return value_->is_null(); }
  std::string Text() const;
  // One of `allowed`; returns its index.
  size_t Choice(const std::vector<std::string>& allowed) const;
  int64_t Integer(int64_t min) const;
  // Finite numbers of at least `min`.
  double Number(double min) const;
  std::vector<double> Numbers(double min) const;
  // The same for a list that is not empty, of numbers greater than 0.
  std::vector<double> PositiveSamples() const;

  // Throws Error unless this is an object with these keys and no others.
  void CheckKeys(const std::vector<std::string>& keys) const;

  [[noreturn]] void Fail(std::string_view what) const;

 private:
  JsonField(const JsonField& parent, const nlohmann::json& value, std::string path);

  std::shared_ptr<const nlohmann::json> document_;
  const nlohmann::json* value_;
  std::string file_;
  std::string path_;
};

// Throws Error naming `file` if `text` is not JSON, for instance because it was cut short.
JsonField ParseJson(std::string_view text, const std::string& file);
JsonField ReadJsonFile(const std::string& path);

}  // namespace sluice
