// The messages that one rank has under way in a group, for implementations of Communicator.
//
// A message is a Request of the implementation's own, with what the pool keeps in it:
//
//   struct Request {
//     Request* next = nullptr;    // of the same transfer, or of the free ones
//     int64_t index = 0;          // in the pool
//     int64_t transfer_id = -1;   // of a transfer's first request
//   };
//
// Requests stay where they are and are used again: after a warm-up nothing is allocated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "core/base/check.h"
#include "parallel/comm/communicator.h"

namespace sluice {

template <typename Request>
class RequestPool {
 public:
  // A request of no transfer, chained to none; all else is as its last use left it.
  Request* Take() {
    Request* request = free_;
    if (request != nullptr) {
      free_ = request->next;
    } else {
      SLUICE_CHECK_LT(static_cast<int64_t>(requests_.size()), kMaxRequests);
      request = &requests_.emplace_back();
      request->index = static_cast<int64_t>(requests_.size()) - 1;
    }
    request->next = nullptr;
    return request;
  }

  // Makes a transfer of `first` and those chained behind it.
  Transfer Begin(Request* first) {
    ++num_outstanding_;
    first->transfer_id = ++num_begun_ * kMaxRequests + first->index;
    return {first->transfer_id};
  }

  // The first request of a transfer that has not ended.
  Request* First(Transfer transfer) {
    Request* first = &requests_[static_cast<size_t>(transfer.id % kMaxRequests)];
    SLUICE_CHECK_EQ(first->transfer_id, transfer.id);
    return first;
  }

  // Ends the transfer of `first`: its requests may be taken again.
  void End(Request* first) {
    first->transfer_id = -1;
    Request* last = first;
    while (last->next != nullptr) last = last->next;
    last->next = free_;
    free_ = first;
    --num_outstanding_;
  }

  // Transfers that have begun and not ended.
  int64_t num_outstanding() const { return num_outstanding_; }

 private:
  // Transfer ids are an index and how often one was begun, so that a stale one is noticed.
  // A pass of the longest schedule leaves four transfers of each of its 4 million units to be
  // waited for at its end.
  static constexpr int64_t kMaxRequests = 1 << 24;

  std::deque<Request> requests_;
  Request* free_ = nullptr;
  int64_t num_outstanding_ = 0;
  int64_t num_begun_ = 0;
};

}  // namespace sluice
