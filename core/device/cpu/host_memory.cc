#include "core/device/cpu/host_memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string_view>
#include <utility>

namespace sluice {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

// The number behind the word `key` in a file of such pairs, or `otherwise`.
int64_t NumberOf(const std::string& path, std::string_view key, int64_t otherwise) {
  std::ifstream in(path);
  for (std::string word; in >> word;) {
    int64_t number = 0;
    if (word == key && in >> number) return number;
  }
  return otherwise;
}

// The number that a file holds; "max", and no file, are `otherwise`.
int64_t NumberIn(const std::string& path, int64_t otherwise) {
  int64_t number = 0;
  return std::ifstream(path) >> number ? number : otherwise;
}

// The files of one version of control groups.
struct GroupFiles {
  std::string_view limit, usage, droppable_key;
};
constexpr GroupFiles kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                  "total_inactive_file"};
constexpr GroupFiles kVersion2 = {"memory.max", "memory.current", "inactive_file"};

int64_t LeftInGroup(const std::string& folder, const GroupFiles& files) {
  const auto path = [&](std::string_view name) { return folder + "/" + std::string(name); };
  const int64_t limit = NumberIn(path(files.limit), kUnlimited);
  if (limit == kUnlimited) return kUnlimited;
  const int64_t droppable = NumberOf(path("memory.stat"), files.droppable_key, 0);
  return std::max<int64_t>(0, limit - NumberIn(path(files.usage), 0) + droppable);
}

// Of the group and of all above it.  A container may see its own group as the top one, under which
// there is no folder of the group's full name.
int64_t LeftInGroups(const std::string& mount, std::string group, const GroupFiles& files) {
  int64_t left = kUnlimited;
  while (true) {
    left = std::min(left, LeftInGroup(mount + group, files));
    if (group.empty()) return left;
    group.erase(group.rfind('/'));
  }
}

// /proc/self/cgroup has lines "4:memory:/group" (version 1) and "0::/group" (version 2).
int64_t LeftInControlGroups(const MemoryFiles& files) {
  int64_t left = kUnlimited;
  std::ifstream in(files.proc + "/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string group = line.substr(second + 1);
    if (!group.starts_with('/')) continue;
    if (group == "/") group.clear();
    if (controllers == ",,") {
      left = std::min(left, LeftInGroups(files.cgroup, group, kVersion2));
    } else if (controllers.find(",memory,") != std::string::npos) {
      left = std::min(left, LeftInGroups(files.cgroup + "/memory", std::move(group), kVersion1));
    }
  }
  return left;
}

int64_t LeftOfAddressSpace(const MemoryFiles& files) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnlimited;
  const int64_t used = NumberIn(files.proc + "/self/statm", 0) * getpagesize();
  return std::max<int64_t>(0, static_cast<int64_t>(limit.rlim_cur) - used);
}

}  // namespace

int64_t AvailableHostBytes(const MemoryFiles& files) {
  const int64_t available_kib = NumberOf(files.proc + "/meminfo", "MemAvailable:", kUnlimited);
  const int64_t of_machine = available_kib == kUnlimited ? kUnlimited : available_kib * 1024;
  return std::min({of_machine, LeftInControlGroups(files), LeftOfAddressSpace(files)});
}

}  // namespace sluice
