// How ranks are made and meet.
#pragma once

namespace sluice {

enum class CommKind {
  kThread,  // threads of this process
  kMpi,     // processes that tools/launch starts
};

}  // namespace sluice
