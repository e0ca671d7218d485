#include "parallel/schedule/replay.h"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include "core/base/check.h"
#include "parallel/schedule/op_positions.h"

namespace sluice {
namespace {

constexpr double kNotPosted = -1;

struct Transfer {
  Op send;
  double send_posted_s = kNotPosted;
  double recv_posted_s = kNotPosted;
  OpTime send_time;
  OpTime recv_time;
};

struct Channel {
  int from_rank = 0;
  int to_rank = 0;
  std::vector<Transfer> transfers;
  int num_done = 0;  // the first ones: a channel works in order
};

// The transfer of a send or receive, or the one that a compute op waits for.
struct TransferIndex {
  int channel = -1;
  int transfer = -1;
};

class Player {
 public:
  Player(const Schedule& schedule, const ExecutionModel& model, const ReplayCosts& costs);

  Replay Play();

 private:
  void Wire();
  void WireInputs();
  // Runs the ops of `rank` until it waits or ends.
  void Advance(int rank);
  // Schedules another Advance for a rank whose awaited transfer may have ended.
  void Wake(int rank);
  // Each returns whether the rank can go on to the next op.
  bool RunCompute(int rank, const Op& op);
  bool RunCommunication(int rank, const Op& op);
  void StartTransfers(Channel& channel);
  void FillTransferTimes();

  bool IsDone(const TransferIndex& index) const {
    return index.transfer < channels_[index.channel].num_done;
  }

  const Schedule& schedule_;
  const ExecutionModel& model_;
  const ReplayCosts& costs_;
  std::vector<Channel> channels_;
  std::vector<std::vector<TransferIndex>> transfer_of_op_;
  std::vector<double> clock_s_;  // per rank, the end of its last op
  std::deque<int> woken_;        // each rank at most once
  std::vector<char> is_woken_;   // per rank
  Replay replay_;
};

Player::Player(const Schedule& schedule, const ExecutionModel& model, const ReplayCosts& costs)
    : schedule_(schedule),
      model_(model),
      costs_(costs),
      clock_s_(schedule.num_ranks, 0),
      is_woken_(schedule.num_ranks, 0) {
  replay_.stopped_at.assign(schedule.num_ranks, 0);
  for (const std::vector<Op>& ops : schedule.ops_of_rank) {
    replay_.times.emplace_back(ops.size());
    transfer_of_op_.emplace_back(ops.size());
  }
  Wire();
  WireInputs();
}

void Player::Wire() {
  std::map<std::pair<int, int>, int> channel_of_ranks;
  const auto channel_of = [&](int from_rank, int to_rank) {
    const auto [entry, is_new] =
        channel_of_ranks.try_emplace({from_rank, to_rank}, std::ssize(channels_));
    if (is_new) channels_.push_back({.from_rank = from_rank, .to_rank = to_rank});
    return entry->second;
  };
  for (int rank = 0; rank < schedule_.num_ranks; ++rank) {
    const std::vector<Op>& ops = schedule_.ops_of_rank[rank];
    for (int i = 0; i < std::ssize(ops); ++i) {
      if (!IsSend(ops[i].kind)) continue;
      const int channel = channel_of(rank, PeerRank(schedule_, ops[i]));
      std::vector<Transfer>& transfers = channels_[channel].transfers;
      transfer_of_op_[rank][i] = {channel, static_cast<int>(transfers.size())};
      transfers.push_back({ops[i]});
    }
  }
  std::vector<int> num_recvs(channels_.size(), 0);
  for (int rank = 0; rank < schedule_.num_ranks; ++rank) {
    const std::vector<Op>& ops = schedule_.ops_of_rank[rank];
    for (int i = 0; i < std::ssize(ops); ++i) {
      if (!IsRecv(ops[i].kind)) continue;
      const auto channel = channel_of_ranks.find({PeerRank(schedule_, ops[i]), rank});
      SLUICE_CHECK(channel != channel_of_ranks.end());
      const TransferIndex index = {channel->second, num_recvs[channel->second]++};
      SLUICE_CHECK_LT(index.transfer, std::ssize(channels_[index.channel].transfers));
      SLUICE_CHECK(Counterpart(channels_[index.channel].transfers[index.transfer].send) == ops[i]);
      transfer_of_op_[rank][i] = index;
    }
  }
}

void Player::WireInputs() {
  const OpPositions positions(schedule_);
  for (int rank = 0; rank < schedule_.num_ranks; ++rank) {
    const std::vector<Op>& ops = schedule_.ops_of_rank[rank];
    for (int i = 0; i < std::ssize(ops); ++i) {
      if (!IsCompute(ops[i].kind)) continue;
      if (const std::optional<Op> input = InputOf(schedule_, ops[i])) {
        const int position = positions.Find(*input);
        SLUICE_CHECK_GE(position, 0);
        transfer_of_op_[rank][i] = transfer_of_op_[rank][position];
      }
    }
  }
}

void Player::StartTransfers(Channel& channel) {
  for (; channel.num_done < std::ssize(channel.transfers); ++channel.num_done) {
    Transfer& transfer = channel.transfers[channel.num_done];
    if (transfer.send_posted_s == kNotPosted || transfer.recv_posted_s == kNotPosted) return;
    double start_s = transfer.send_posted_s;
    if (model_.sends == SendSemantics::kRendezvous) {
      start_s = std::max(start_s, transfer.recv_posted_s);
    }
    if (channel.num_done > 0) {
      start_s = std::max(start_s, channel.transfers[channel.num_done - 1].send_time.end_s);
    }
    const double end_s = start_s + costs_.transfer_s(transfer.send);
    transfer.send_time = {start_s, end_s};
    transfer.recv_time = {start_s, std::max(end_s, transfer.recv_posted_s)};
    Wake(channel.from_rank);
    Wake(channel.to_rank);
  }
}

bool Player::RunCompute(int rank, const Op& op) {
  const int position = replay_.stopped_at[rank];
  const TransferIndex& input = transfer_of_op_[rank][position];
  double start_s = clock_s_[rank];
  if (input.channel >= 0) {
    if (!IsDone(input)) return false;
    start_s = std::max(start_s, channels_[input.channel].transfers[input.transfer].recv_time.end_s);
  }
  clock_s_[rank] = start_s + costs_.compute_s(op);
  replay_.times[rank][position] = {start_s, clock_s_[rank]};
  return true;
}

bool Player::RunCommunication(int rank, const Op& op) {
  const TransferIndex& index = transfer_of_op_[rank][replay_.stopped_at[rank]];
  Channel& channel = channels_[index.channel];
  Transfer& transfer = channel.transfers[index.transfer];
  double& posted_s = IsSend(op.kind) ? transfer.send_posted_s : transfer.recv_posted_s;
  if (posted_s == kNotPosted) {
    posted_s = clock_s_[rank];
    StartTransfers(channel);
  }
  const bool waits = model_.queues == QueueSemantics::kSingle &&
                     (IsRecv(op.kind) || model_.sends == SendSemantics::kRendezvous);
  if (!waits) return true;
  if (!IsDone(index)) return false;
  clock_s_[rank] = IsSend(op.kind) ? transfer.send_time.end_s : transfer.recv_time.end_s;
  return true;
}

void Player::Advance(int rank) {
  const std::vector<Op>& ops = schedule_.ops_of_rank[rank];
  int& position = replay_.stopped_at[rank];
  while (position < std::ssize(ops)) {
    const Op& op = ops[position];
    if (!(IsCompute(op.kind) ? RunCompute(rank, op) : RunCommunication(rank, op))) break;
    ++position;
  }
}

void Player::Wake(int rank) {
  if (is_woken_[rank]) return;
  is_woken_[rank] = true;
  woken_.push_back(rank);
}

void Player::FillTransferTimes() {
  for (int rank = 0; rank < schedule_.num_ranks; ++rank) {
    const std::vector<Op>& ops = schedule_.ops_of_rank[rank];
    for (int i = 0; i < std::ssize(ops); ++i) {
      const TransferIndex& index = transfer_of_op_[rank][i];
      if (IsCompute(ops[i].kind) || !IsDone(index)) continue;
      const Transfer& transfer = channels_[index.channel].transfers[index.transfer];
      replay_.times[rank][i] = IsSend(ops[i].kind) ? transfer.send_time : transfer.recv_time;
    }
  }
}

Replay Player::Play() {
  for (int rank = 0; rank < schedule_.num_ranks; ++rank) Wake(rank);
  while (!woken_.empty()) {
    const int rank = woken_.front();
    woken_.pop_front();
    is_woken_[rank] = false;
    Advance(rank);
  }
  FillTransferTimes();
  return std::move(replay_);
}

}  // namespace

Replay ReplaySchedule(const Schedule& schedule, const ExecutionModel& model,
                      const ReplayCosts& costs) {
  return Player(schedule, model, costs).Play();
}

}  // namespace sluice
