#include "parallel/comm/communicator.h"

namespace sluice {

int64_t ElementType::size_bytes() const {
  switch (kind_) {
    case Kind::kFloat64:
    case Kind::kInt64:
      return 8;
    case Kind::kFloat32:
      return 4;
    case Kind::kBFloat16:
    case Kind::kFloat16:
      return 2;
    case Kind::kByte:
      return 1;
  }
  return 0;
}

std::string_view ElementType::name() const {
  switch (kind_) {
    case Kind::kFloat64:
      return "f64";
    case Kind::kFloat32:
      return "f32";
    case Kind::kBFloat16:
      return "bf16";
    case Kind::kFloat16:
      return "fp16";
    case Kind::kInt64:
      return "int64";
    case Kind::kByte:
      return "byte";
  }
  return "?";
}

std::string_view Name(ReduceOp op) { return op == ReduceOp::kSum ? "sum" : "max"; }

Message SendMessage(ConstPayload payload, Peer peer) {
  // A send only reads; one type of message for both directions keeps a group an array.
  return {Direction::kSend, {const_cast<void*>(payload.data), payload.count, payload.type}, peer};
}

Message RecvMessage(Payload payload, Peer peer) { return {Direction::kRecv, payload, peer}; }

void Communicator::Connect(std::span<const int>) {}

Transfer Communicator::Isend(ConstPayload payload, Peer peer) {
  const Message message = SendMessage(payload, peer);
  return Start({&message, 1});
}

Transfer Communicator::Irecv(Payload payload, Peer peer) {
  const Message message = RecvMessage(payload, peer);
  return Start({&message, 1});
}

}  // namespace sluice
