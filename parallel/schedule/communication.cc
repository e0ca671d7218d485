#include "parallel/schedule/communication.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/check.h"
#include "parallel/schedule/op_positions.h"

namespace sluice {
namespace {

// A receive and its place: before the compute op at position `before` of the list without
// communication.
struct PlacedRecv {
  Op op;
  int before;
};

void CheckComputeOnly(const Schedule& schedule) {
  for (int rank = 0; rank < schedule.num_ranks; ++rank) {
    for (const Op& op : schedule.ops_of_rank[rank]) {
      SLUICE_CHECK(IsCompute(op.kind));
      SLUICE_CHECK_GE(op.unit.stage, 0);
      SLUICE_CHECK_LT(op.unit.stage, schedule.num_stages);
      SLUICE_CHECK_EQ(schedule.rank_of_stage[op.unit.stage], rank);
    }
  }
}

// Returns, for each rank, its receives by the rank that they come from, in the order of the sends.
std::vector<std::map<int, std::vector<Op>>> FindRecvs(const Schedule& schedule) {
  std::vector<std::map<int, std::vector<Op>>> recvs(schedule.num_ranks);
  for (int from = 0; from < schedule.num_ranks; ++from) {
    for (const Op& op : schedule.ops_of_rank[from]) {
      if (const std::optional<Op> send = OutputOf(schedule, op)) {
        recvs[PeerRank(schedule, *send)][from].push_back(Counterpart(*send));
      }
    }
  }
  return recvs;
}

// The position of the compute op that needs what `recv` receives; -1 in a schedule that lacks it.
int FindConsumer(const OpPositions& positions, const Op& recv) {
  return recv.kind == OpKind::kRecvActivation ? positions.Find({OpKind::kForward, recv.unit})
                                              : positions.FindInputGradient(recv.unit);
}

// Positions never decrease along a channel: no receive is placed after one whose send comes later.
std::vector<PlacedRecv> PlaceRecvs(const std::map<int, std::vector<Op>>& recvs_of_channel,
                                   const OpPositions& positions, int recv_lookahead) {
  std::vector<PlacedRecv> placed;
  for (const auto& [from, recvs] : recvs_of_channel) {
    std::vector<PlacedRecv> backwards;
    for (auto recv = recvs.rbegin(); recv != recvs.rend(); ++recv) {
      const int consumer = FindConsumer(positions, *recv);
      if (consumer < 0) continue;  // FindError will say what is missing.
      int before = std::max(0, consumer - recv_lookahead);
      if (!backwards.empty()) before = std::min(before, backwards.back().before);
      backwards.push_back({*recv, before});
    }
    placed.insert(placed.end(), backwards.rbegin(), backwards.rend());
  }
  std::stable_sort(placed.begin(), placed.end(),
                   [](const PlacedRecv& a, const PlacedRecv& b) { return a.before < b.before; });
  return placed;
}

}  // namespace

Schedule AddCommunication(Schedule schedule, int recv_lookahead) {
  SLUICE_CHECK_GE(recv_lookahead, 0);
  CheckComputeOnly(schedule);
  const OpPositions positions(schedule);
  const std::vector<std::map<int, std::vector<Op>>> recvs = FindRecvs(schedule);
  std::vector<std::vector<Op>> ops_of_rank(schedule.num_ranks);
  for (int rank = 0; rank < schedule.num_ranks; ++rank) {
    const std::vector<PlacedRecv> placed = PlaceRecvs(recvs[rank], positions, recv_lookahead);
    auto recv = placed.begin();
    const std::vector<Op>& compute = schedule.ops_of_rank[rank];
    std::vector<Op>& ops = ops_of_rank[rank];
    for (int i = 0; i < std::ssize(compute); ++i) {
      for (; recv != placed.end() && recv->before == i; ++recv) ops.push_back(recv->op);
      ops.push_back(compute[i]);
      if (const std::optional<Op> send = OutputOf(schedule, compute[i])) ops.push_back(*send);
    }
  }
  schedule.ops_of_rank = std::move(ops_of_rank);
  return schedule;
}

bool HasCommunication(const Schedule& schedule) {
  return std::ranges::any_of(schedule.ops_of_rank, [](const std::vector<Op>& ops) {
    return std::ranges::any_of(ops, [](const Op& op) { return !IsCompute(op.kind); });
  });
}

}  // namespace sluice
