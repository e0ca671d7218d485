// The output of //correctness:check: one line per tensor, and the result.
//
//   CheckReport report({.config = plan.config, ...}, file);
//   results.Visit(world, [&](const Result& result) { report.Add(result); });   // while ranks run
//   report.Finish(job_name);                                                   // when they have
//   ended
//
// Where bounds come from an analysis, which takes long, results are kept and compared in Finish: no
// rank waits for it then.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/checkpoint/safetensors_reader.h"
#include "correctness/results/result_checker.h"
#include "correctness/results/results.h"

namespace sluice {

class CheckReport {
 public:
  // `file` is the reference, and must outlive this.
  CheckReport(CheckedRun run, const SafetensorsReader& file);

  void Add(const Result& result);

  // Compares what is left, prints the verdict, and returns whether every tensor is within its
  // bound. `reference` says whose results were compared with.
  bool Finish(const std::string& job_name, const std::string& reference);

  // Host memory of the first rank in addition to that of Results: kept results and analyses.
  static int64_t HostBytes(const CheckedRun& run);

 private:
  struct Kept {
    std::string name;
    std::vector<double> values;
  };

  std::vector<double> ReadReference(const std::string& name, size_t size) const;
  void PrintHeader();
  void Compare(const std::string& name, std::span<const double> values);
  void CompareWithFlips();
  void Print(const Comparison& comparison, std::string_view verdict) const;
  void Count(const Comparison& comparison);

  CheckedRun run_;
  const SafetensorsReader& file_;
  ResultChecker checker_;
  bool has_header_ = false;
  std::map<std::string, DifferentCopy> different_copies_;
  std::vector<Kept> kept_;    // to be compared in Finish
  std::vector<Kept> missed_;  // gradients that flipped ReLU inputs may explain
  std::map<std::string, std::vector<double>> fc1_biases_;
  int num_tensors_ = 0, num_failed_ = 0;
  int num_unproven_ = 0;  // whose bounds are as large as themselves
  std::string nearest_, widest_;
  double nearest_used_ = 0, widest_bound_ = 0;
};

}  // namespace sluice
