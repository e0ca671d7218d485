// Prints, for each tensor of a step, the error of the emulated GPU kernels beside its bound.

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/cli/flags.h"
#include "core/cli/main.h"
#include "core/reference/initial_problem.h"
#include "correctness/emulation/emulated_stack.h"
#include "correctness/tolerance/compare.h"
#include "correctness/tolerance/stack_errors.h"
#include "parallel/exec/executor.h"
#include "programs/workload_flags.h"

namespace sluice {
namespace {

using reference::Step;
using reference::Values;

struct Worst {
  double seen = 0, bound = 0, used = 0, least_used = 1e300;
};

// Parameters of all layers share a line.
class Table {
 public:
  Table(const StackErrors& errors, std::string_view run) : errors_(errors), run_(run) {}
  void See(const std::string& line, const std::string& name, const Values& actual,
           const Values& expected) {
    const double bound = errors_.RelativeL2(name, expected);
    const Comparison comparison =
        CompareTensors<double, double>(name, actual, expected, {.relative_l2 = bound});
    if (!lines_.contains(line)) order_.push_back(line);
    Worst& worst = lines_[line];
    const double used = comparison.relative_l2 / bound;
    if (used >= worst.used) worst = {comparison.relative_l2, bound, used, worst.least_used};
    worst.least_used = std::min(worst.least_used, used);
  }
  void Print() const {
    fmt::print("{:<28} {:<22} {:>11} {:>11} {:>10} {:>10}\n", "tensor", "emulated", "relative L2",
               "bound", "most used", "least used");
    for (const std::string& line : order_) {
      const Worst& worst = lines_.at(line);
      fmt::print("{:<28} {:<22} {:>11.2e} {:>11.2e} {:>10.3f} {:>10.3f}{}\n", line, run_,
                 worst.seen, worst.bound, worst.used, worst.least_used,
                 worst.used <= 1 ? "" : "  FAIL");
    }
  }

 private:
  const StackErrors& errors_;
  std::string run_;
  std::map<std::string, Worst> lines_;
  std::vector<std::string> order_;
};

int Run() {
  const Workload workload = WorkloadFromFlags(Precision::kBFloat16);
  if (workload.precision == Precision::kFloat64) {
    throw Error("--dtype f64 is not emulated; valid: f32, tf32, bf16, fp16");
  }
  const reference::Problem problem = reference::InitialProblem({.config = workload.model,
                                                                .batch_size = workload.batch_size,
                                                                .loss = workload.loss,
                                                                .seed = workload.seed});
  const double gradient_scale = LossScale(workload.precision);
  StackRounding rounding = {.precision = workload.precision, .gradient_scale = gradient_scale};
  const DType accumulator = AccumulatorDType(workload.precision);
  const DType grad_dtype = workload.grad_dtype.value_or(accumulator);
  if (grad_dtype != accumulator) rounding.grad_dtype = grad_dtype;
  const StackErrors errors = AnalyzeStack(problem, rounding);
  fmt::print("ReLU inputs: {:.3g} expected to flip, {} may\n", errors.expected_flips(),
             errors.num_possible_flips());
  const Step expected = ForwardBackward(problem);
  const std::pair<SumOrder, OperandRounding> kinds[] = {
      {SumOrder::kForward, OperandRounding::kToNearest},
      {SumOrder::kBlocks, OperandRounding::kTruncated}};
  for (const auto& [sum_order, operand_rounding] : kinds) {
    const Step actual = EmulateStep(problem, {.precision = workload.precision,
                                              .sum_order = sum_order,
                                              .operand_rounding = operand_rounding,
                                              .gradient_scale = gradient_scale,
                                              .grad_dtype = grad_dtype});
    Table table(errors,
                sum_order == SumOrder::kForward ? "in order, to nearest" : "in blocks, truncating");
    table.See("output", "output", actual.output, expected.output);
    for (size_t i = expected.gradients.size(); i-- > 0;) {
      for (const ParameterSpec& parameter : LayerParameters(workload.model)) {
        table.See(parameter.name, "grad." + ParameterName(static_cast<int64_t>(i), parameter.name),
                  actual.gradients[i].at(parameter.name), expected.gradients[i].at(parameter.name));
      }
    }
    table.See("grad.input", "grad.input", actual.input_gradient, expected.input_gradient);
    table.Print();
  }
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::Main(argc, argv,
                      {.purpose = "Prints the errors of emulated GPU kernels beside their bounds.",
                       .example = "bazel run //correctness/emulation:measure -- --model=test "
                                  "--loss=projection --dtype=bf16"},
                      sluice::Run);
}
