#include "bench/harness/counted.h"

namespace sluice {

[[gnu::noinline]] void RunCounted(const std::function<void()>& work) { work(); }

}  // namespace sluice
