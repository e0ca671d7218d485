#include "parallel/planner/link_costs.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"

namespace sluice {
namespace {

LinkCost CostOf(const Link& link, const ReduceSamples& reduce) {
  double bytes_per_s = reduce(link.bytes_per_s);
  for (const std::vector<double>* samples :
       {&link.bytes_per_s_both_ways, &link.bytes_per_s_beside_compute}) {
    if (!samples->empty()) bytes_per_s = std::min(bytes_per_s, reduce(*samples));
  }
  return {.latency_s = reduce(link.latency_s), .bytes_per_s = bytes_per_s};
}

double RingSeconds(const LinkCost& link, int size, double bytes) {
  return 2 * (size - 1) * (link.latency_s + bytes / size / link.bytes_per_s);
}

}  // namespace

void CheckLinks(const Links& links, int world_size) {
  if (links.between_hosts || links.ranks_per_host == 0 || world_size <= links.ranks_per_host) {
    return;
  }
  throw Error(fmt::format(
      "the links have none between hosts, which {} devices on hosts of {} need; link within a "
      "host: {}",
      world_size, links.ranks_per_host, links.within_host.name));
}

LinkCosts::LinkCosts(const Links& links, const ParallelSizes& sizes, const ReduceSamples& reduce)
    : sizes_(sizes),
      ranks_per_host_(links.ranks_per_host == 0 ? sizes.world_size() : links.ranks_per_host),
      within_host_(CostOf(links.within_host, reduce)),
      between_hosts_(links.between_hosts ? CostOf(*links.between_hosts, reduce) : within_host_) {
  bool tensor_crosses = false;
  bool data_crosses = false;
  for (int pipeline = 0; pipeline < sizes.pipeline; ++pipeline) {
    const int first_host = HostOf({.pipeline = pipeline});
    const int last_host = HostOf({.pipeline = pipeline, .data = sizes.data - 1});
    data_crosses |= first_host != last_host;
    for (int data = 0; data < sizes.data; ++data) {
      tensor_crosses |= HostOf({.pipeline = pipeline, .data = data}) !=
                        HostOf({.pipeline = pipeline, .tensor = sizes.tensor - 1, .data = data});
    }
    next_crosses_hosts_.push_back(CrossesHosts({pipeline, (pipeline + 1) % sizes.pipeline}));
  }
  tensor_ = tensor_crosses ? between_hosts_ : within_host_;
  data_ = data_crosses ? between_hosts_ : within_host_;
}

int LinkCosts::HostOf(const RankCoordinates& rank) const {
  return RankOf(rank, sizes_) / ranks_per_host_;
}

bool LinkCosts::CrossesHosts(const Edge& edge) const {
  for (int data = 0; data < sizes_.data; ++data) {
    for (const int tensor : {0, sizes_.tensor - 1}) {
      if (HostOf({.pipeline = edge.from_rank, .tensor = tensor, .data = data}) !=
          HostOf({.pipeline = edge.to_rank, .tensor = tensor, .data = data})) {
        return true;
      }
    }
  }
  return false;
}

const LinkCost& LinkCosts::OfPipeline(const Edge& edge) const {
  const int size = sizes_.pipeline;
  bool crosses;
  if ((edge.from_rank + 1) % size == edge.to_rank) {
    crosses = next_crosses_hosts_[edge.from_rank];
  } else if ((edge.to_rank + 1) % size == edge.from_rank) {
    crosses = next_crosses_hosts_[edge.to_rank];
  } else {
    crosses = CrossesHosts(edge);
  }
  return crosses ? between_hosts_ : within_host_;
}

double LinkCosts::TensorAllReduceSeconds(double bytes) const {
  return RingSeconds(tensor_, sizes_.tensor, bytes);
}

double LinkCosts::DataAllReduceSeconds(double bytes) const {
  return RingSeconds(data_, sizes_.data, bytes);
}

}  // namespace sluice
