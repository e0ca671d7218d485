#include "parallel/comm/collective.h"

#include <fmt/format.h>

namespace sluice {

std::string Describe(const CollectiveCall& call) {
  const std::string_view type = ElementType(call.type).name();
  switch (call.op) {
    case CommOp::kAllReduce:
    case CommOp::kReduceScatter:
      return fmt::format("{}(count {}, {}, {})", Name(call.op), call.count, type,
                         Name(call.reduce));
    case CommOp::kAllGather:
      return fmt::format("{}(count {}, {})", Name(call.op), call.count, type);
    case CommOp::kBroadcast:
      return fmt::format("{}(count {}, {}, root {})", Name(call.op), call.count, type, call.root);
    default:
      return std::string(Name(call.op));
  }
}

std::string DescribeDisagreement(const Side& a, const Side& b, const std::string& position) {
  return fmt::format("ranks disagree: rank {} {}, rank {} {}, {}", a.rank, a.what, b.rank, b.what,
                     position);
}

std::string DescribeMessage(Direction direction, int64_t count, ElementType type, int tag,
                            int global_peer) {
  return direction == Direction::kSend ? fmt::format("sends {} {} with tag {} to rank {}", count,
                                                     type.name(), tag, global_peer)
                                       : fmt::format("receives {} {} with tag {} from rank {}",
                                                     count, type.name(), tag, global_peer);
}

}  // namespace sluice
