#include "correctness/matrix/row_judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <utility>

namespace sluice {
namespace {

using Line = nlohmann::ordered_json;

void JudgeParity(const std::vector<Comparison>& comparisons, Line& line) {
  const auto failed = std::ranges::find(comparisons, false, &Comparison::pass);
  line["pass"] = failed == comparisons.end();
  line["tensors"] = comparisons.size();
  if (failed != comparisons.end()) {
    line["failure"] = ToString(*failed);
    return;
  }
  const auto nearest = std::ranges::max_element(comparisons, {}, ShareOfBound);
  line["nearest"] = nearest->name;
  line["nearest_share"] = ShareOfBound(*nearest);
}

// Both ends of the model must show that a layer is missing.
void JudgeDroppedLayer(const std::vector<Comparison>& comparisons, Line& line) {
  line["pass"] = true;
  line["tensors"] = comparisons.size();
  for (const Comparison& comparison : comparisons) {
    if ((comparison.name == "output" || comparison.name == "grad.input") && comparison.pass) {
      line["pass"] = false;
      line["failure"] = "a dropped layer was not noticed: " + ToString(comparison);
    }
  }
}

Line Judged(const MatrixRow& row, const std::vector<ResultTensor>& actual,
            const std::vector<ResultTensor>& expected, double elapsed_s) {
  Line line = {{"row", row.name}};
  const std::vector<Comparison> comparisons = CompareResults(row.config, actual, expected);
  if (row.kind == RowKind::kDroppedLayer) {
    JudgeDroppedLayer(comparisons, line);
  } else {
    JudgeParity(comparisons, line);
  }
  line["elapsed_s"] = elapsed_s;
  return line;
}

}  // namespace

RowJudge::Reference RowJudge::ReferenceOf(const JobConfig& config) {
  // Else all rows of a run have one model, batch and seed.
  const ReferenceKey key = {config.loss, config.model.num_layers};
  auto found = references_.find(key);
  if (found == references_.end()) {
    found = references_
                .emplace(key, std::async(std::launch::async,
                                         [config] { return ReferenceResults(config); })
                                  .share())
                .first;
  }
  return found->second;
}

void RowJudge::Compare(const MatrixRow& row, std::vector<ResultTensor> actual, double elapsed_s) {
  const size_t max_pending = std::max(1U, std::thread::hardware_concurrency() / 2);
  while (lines_.size() >= max_pending) PrintFront();
  lines_.push_back(std::async(
      std::launch::async, [row, actual = std::move(actual), reference = ReferenceOf(row.config),
                           elapsed_s] { return Judged(row, actual, reference.get(), elapsed_s); }));
}

void RowJudge::Report(const std::string& row, const std::string& failure, double elapsed_s) {
  Line line = {{"row", row}, {"pass", failure.empty()}};
  if (!failure.empty()) line["failure"] = failure;
  line["elapsed_s"] = elapsed_s;
  std::promise<Line> judged;
  judged.set_value(std::move(line));
  lines_.push_back(judged.get_future());
}

void RowJudge::PrintFront() {
  const Line line = lines_.front().get();
  lines_.pop_front();
  has_passed_ &= line["pass"].get<bool>();
  fmt::print("{}\n", line.dump());
  std::fflush(stdout);
}

void RowJudge::PrintJudged() {
  constexpr std::chrono::seconds kNow(0);
  while (!lines_.empty() && lines_.front().wait_for(kNow) == std::future_status::ready) {
    PrintFront();
  }
}

bool RowJudge::Finish() {
  while (!lines_.empty()) PrintFront();
  return has_passed_;
}

}  // namespace sluice
