#include "core/device/cpu/host_memory.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>

#include "core/base/check.h"

namespace sluice {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

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

int64_t LeftInControlGroups(const SystemFiles& files) {
  int64_t left = kUnlimited;
  for (const ControlGroup& group : ControlGroupsOf("memory", files)) {
    const bool is_version_2 = group.version == ControlGroupVersion::k2;
    left = std::min(left, LeftInGroup(group.folder, is_version_2 ? kVersion2 : kVersion1));
  }
  return left;
}

bool IsAddressSpaceLimited() {
  rlimit limit = {};
  return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

int64_t LeftOfAddressSpace(const SystemFiles& files) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnlimited;
  const int64_t used = NumberIn(files.proc + "/self/statm", 0) * getpagesize();
  return std::max<int64_t>(0, static_cast<int64_t>(limit.rlim_cur) - used);
}

}  // namespace

int64_t AvailableHostBytes(const SystemFiles& files) {
  const int64_t available_kib = NumberOf(files.proc + "/meminfo", "MemAvailable:", kUnlimited);
  const int64_t of_machine = available_kib == kUnlimited ? kUnlimited : available_kib * 1024;
  return std::min({of_machine, LeftInControlGroups(files), LeftOfAddressSpace(files)});
}

int64_t ThreadAddressBytes(int64_t num_threads) {
  if (!IsAddressSpaceLimited()) return 0;
  pthread_attr_t attributes;
  size_t stack_bytes = 0, guard_bytes = 0;
  SLUICE_CHECK_EQ(pthread_getattr_default_np(&attributes), 0);
  SLUICE_CHECK_EQ(pthread_attr_getstacksize(&attributes, &stack_bytes), 0);
  SLUICE_CHECK_EQ(pthread_attr_getguardsize(&attributes, &guard_bytes), 0);
  pthread_attr_destroy(&attributes);
  return num_threads * static_cast<int64_t>(stack_bytes + guard_bytes);
}

void SaveAddressSpace() {
  if (IsAddressSpaceLimited()) mallopt(M_ARENA_MAX, 1);
}

}  // namespace sluice
