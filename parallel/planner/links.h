// Links between devices: what a message costs within a host and between hosts. //bench/comm
// measures them and writes them to a file; for hardware that one does not have they are given as
// text:
//
//   nvlink:370GB/s,3us              one link, for all pairs of ranks
//   nvlink:370GB/s,3us;net:45GB/s,12us    within a host, and between hosts
//
// The file is JSON with the fields of Links:
//
//   {"format": "sluice links 1", "ranks_per_host": 8, "commit": "9ebc55d27983...",
//    "device_name": "NVIDIA H200", "date": "2026-12-01T17:00:00Z",
//    "within_host": {"name": "nvlink", "latency_s": [3e-6], "bytes_per_s": [3.7e11],
//                    "bytes_per_s_both_ways": [], "bytes_per_s_beside_compute": [],
//                    "compute_slowdown": []},
//    "between_hosts": null}
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

// Samples; the lists of what was not measured are empty. The first two are never empty.
struct Link {
  std::string name;                 // "nvlink"
  std::vector<double> latency_s;    // of an empty message
  std::vector<double> bytes_per_s;  // one direction alone
  // Per direction, while both directions are in use.
  std::vector<double> bytes_per_s_both_ways;
  // One direction, beside matrix products.
  std::vector<double> bytes_per_s_beside_compute;
  // Time of a matrix product beside messages, divided by its time alone.
  std::vector<double> compute_slowdown;

  bool operator==(const Link&) const = default;
};

struct Links {
  bool is_measured = false;  // false: given as text
  int ranks_per_host = 0;    // 0: all ranks are on one host
  std::string commit;        // of a measurement, as the two below
  std::string device_name;
  std::string date;
  Link within_host;
  std::optional<Link> between_hosts;

  bool operator==(const Links&) const = default;
};

// Throws Error with the text and what is allowed. A bandwidth is a number with B/s, KB/s, MB/s,
// GB/s or TB/s (powers of 1000), a latency one with ns, us, ms or s.
Links ParseLinksText(std::string_view text, int ranks_per_host);

// Throws Error naming `file` and the field.
Links ParseLinks(std::string_view text, const std::string& file);
Links ReadLinks(const std::string& path);

// The inverse of ParseLinks.
std::string FormatLinks(const Links& links);

}  // namespace sluice
