// Compares the results of rows with core/reference in float64 while the ranks run the next rows,
// and prints a line of JSON for each row:
//
//   {"row":"gpipe/p:2/f32/mean","pass":true,"tensors":52,"nearest":"grad.input",
//    "nearest_share":0.02,"elapsed_s":0.41}
//
// or, where a row fails, "pass":false and "failure" in place of the nearest tensor.
#pragma once

#include <deque>
#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "correctness/matrix/matrix_rows.h"
#include "correctness/parity/parity_run.h"

namespace sluice {

class RowJudge {
 public:
  // Compares in the background; waits for an earlier comparison where there are many.
  void Compare(const MatrixRow& row, std::vector<ResultTensor> actual, double elapsed_s);

  // A row that was judged elsewhere; `failure` is empty where it passed.
  void Report(const std::string& row, const std::string& failure, double elapsed_s);

  // Prints the lines of rows that are judged, in the order of the rows.
  void PrintJudged();

  // Waits for all comparisons and prints their lines.  Returns whether every row passed.
  bool Finish();

 private:
  using ReferenceKey = std::pair<LossKind, int64_t>;  // and number of layers
  using Reference = std::shared_future<std::vector<ResultTensor>>;

  Reference ReferenceOf(const JobConfig& config);
  void PrintFront();

  std::map<ReferenceKey, Reference> references_;
  std::deque<std::future<nlohmann::ordered_json>> lines_;
  bool has_passed_ = true;
};

}  // namespace sluice
