#include "parallel/comm/fingerprint.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "parallel/comm/comm_error.h"

namespace sluice {
namespace {

// No field holds a zero byte, so that it can separate them.
std::string Pack(std::span<const FingerprintField> fields) {
  std::string packed;
  for (const FingerprintField& field : fields) {
    for (const std::string* text : {&field.name, &field.value}) {
      packed.append(text->c_str());
      packed.push_back('\0');
    }
  }
  return packed;
}

std::vector<FingerprintField> Unpack(std::string_view packed) {
  std::vector<std::string> texts;
  for (size_t end; (end = packed.find('\0')) != std::string_view::npos;) {
    texts.emplace_back(packed.substr(0, end));
    packed.remove_prefix(end + 1);
  }
  std::vector<FingerprintField> fields;
  for (size_t i = 0; i + 1 < texts.size(); i += 2) fields.push_back({texts[i], texts[i + 1]});
  return fields;
}

std::optional<std::string> FirstDifference(const std::vector<FingerprintField>& expected,
                                           const std::vector<FingerprintField>& other) {
  for (size_t i = 0; i < std::max(expected.size(), other.size()); ++i) {
    const FingerprintField none{"(no more fields)", ""};
    const FingerprintField& a = i < expected.size() ? expected[i] : none;
    const FingerprintField& b = i < other.size() ? other[i] : none;
    if (a.name != b.name) return fmt::format("field {} is '{}', not '{}'", i, b.name, a.name);
    if (a.value != b.value) {
      return fmt::format("{} is '{}', but '{}' on rank 0", b.name, b.value, a.value);
    }
  }
  return std::nullopt;
}

}  // namespace

void CheckFingerprint(Communicator& comm, std::span<const FingerprintField> fields) {
  std::string mine = Pack(fields);
  int64_t size = static_cast<int64_t>(mine.size());
  comm.AllReduce({&size, 1, ControlType::kInt64}, ReduceOp::kMax);
  // Padded to the longest with zero bytes, which unpack as empty fields beyond every real one.
  mine.resize(size, '\0');
  std::string all(size * comm.world_size(), '\0');
  comm.AllGather({mine.data(), size, ControlType::kByte}, all.data());
  const auto row = [&](int rank) {
    std::vector<FingerprintField> unpacked =
        Unpack(std::string_view(all).substr(rank * size, size));
    while (!unpacked.empty() && unpacked.back().name.empty()) unpacked.pop_back();
    return unpacked;
  };
  const std::vector<FingerprintField> expected = row(0);
  for (int rank = 1; rank < comm.world_size(); ++rank) {
    if (const auto difference = FirstDifference(expected, row(rank))) {
      throw CommError(
          fmt::format("rank {} has another configuration: {}", comm.GlobalRank(rank), *difference),
          kFaultExitCode);
    }
  }
}

}  // namespace sluice
