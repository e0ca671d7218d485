#include "core/device/cpu/control_groups.h"

#include <filesystem>
#include <fstream>

namespace sluice {
namespace {

// `group` is "/a/b", or "/" at the top.
void AddWithParents(ControlGroupVersion version, const std::string& mount, std::string group,
                    std::vector<ControlGroup>* groups) {
  if (group == "/") group.clear();
  while (true) {
    groups->push_back({version, mount + group});
    if (group.empty()) return;
    group.erase(group.rfind('/'));
  }
}

// Version 1 mounts controllers that belong together in one folder, "cpu,cpuacct", mostly with a
// link under each name.
std::string Mount(const SystemFiles& files, std::string_view controller,
                  const std::string& controllers) {
  const std::string own = files.cgroup + "/" + std::string(controller);
  std::error_code ignored;
  return std::filesystem::exists(own, ignored) ? own : files.cgroup + "/" + controllers;
}

}  // namespace

// /proc/self/cgroup has lines "4:memory:/group" (version 1) and "0::/group" (version 2).
std::vector<ControlGroup> ControlGroupsOf(std::string_view controller, const SystemFiles& files) {
  std::vector<ControlGroup> groups;
  std::ifstream in(files.proc + "/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (!group.starts_with('/')) continue;
    if (controllers.empty()) {
      AddWithParents(ControlGroupVersion::k2, files.cgroup, group, &groups);
    } else if (("," + controllers + ",").find("," + std::string(controller) + ",") !=
               std::string::npos) {
      AddWithParents(ControlGroupVersion::k1, Mount(files, controller, controllers), group,
                     &groups);
    }
  }
  return groups;
}

int64_t NumberOf(const std::string& path, std::string_view key, int64_t otherwise) {
  std::ifstream in(path);
  for (std::string word; in >> word;) {
    int64_t number = 0;
    if (word == key && in >> number) return number;
  }
  return otherwise;
}

int64_t NumberIn(const std::string& path, int64_t otherwise) {
  int64_t number = 0;
  return std::ifstream(path) >> number ? number : otherwise;
}

}  // namespace sluice
