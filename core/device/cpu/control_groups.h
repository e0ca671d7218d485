// The control groups that this process is in, version 1 or 2: who takes memory and CPU time from it
// without its knowing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

// Where the system says what it grants; a test has folders of its own.
struct SystemFiles {
  std::string proc = "/proc";
  std::string cgroup = "/sys/fs/cgroup";
};

enum class ControlGroupVersion { k1, k2 };

struct ControlGroup {
  ControlGroupVersion version = ControlGroupVersion::k2;
  std::string folder;  // of its files
};

// The group of this process for `controller` ("memory", "cpu") and every group above it, innermost
// first; those of version 2 have all controllers.  A container may see its own group as the top
// one, under which there is no folder of the group's full name: some folders may not exist.
std::vector<ControlGroup> ControlGroupsOf(std::string_view controller, const SystemFiles& files);

// The number behind the word `key` in a file of such pairs, or `otherwise`.
int64_t NumberOf(const std::string& path, std::string_view key, int64_t otherwise);

// The number that a file begins with; "max", and no file, are `otherwise`.
int64_t NumberIn(const std::string& path, int64_t otherwise);

}  // namespace sluice
