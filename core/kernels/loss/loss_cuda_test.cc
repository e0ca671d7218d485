#include "core/kernels/loss/loss_cuda.h"

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <vector>

#include "core/kernels/cuda/kernel_test.h"

namespace sluice::cuda {
namespace {

struct LossCase {
  DType dtype;
  int64_t num_tokens;
  int64_t hidden_size;
};

std::vector<LossCase> AllCases() {
  std::vector<LossCase> cases;
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    cases.push_back({dtype, 1, 1});
    cases.push_back({dtype, 7, 13});
    cases.push_back({dtype, 128, 256});
    cases.push_back({dtype, 301, 1025});
    cases.push_back({dtype, 512, 2048});
  }
  return cases;
}

class LossCudaTest : public KernelTest, public testing::WithParamInterface<LossCase> {};

TEST_P(LossCudaTest, Forward) {
  const auto [dtype, num_tokens, hidden_size] = GetParam();
  const DeviceTensor z = Random(dtype, {num_tokens, hidden_size}, "z");
  const DeviceTensor r = Random(DType::kFloat32, {num_tokens, hidden_size}, "r");
  Buffer scratch = device().Allocate(LossScratchBytes(), "scratch");
  const double scale = 128.0 / static_cast<double>(num_tokens * hidden_size);
  for (const bool has_r : {false, true}) {
    const DeviceTensor loss = Unwritten(DType::kFloat32, {1});
    double sum = 0;
    double magnitude = 0;
    for (size_t i = 0; i < z.values.size(); ++i) {
      const double term = z.values[i] * (has_r ? r.values[i] : 1);
      sum += term;
      magnitude += std::abs(term);
    }
    double expected = 0;
    double bound = 0;
    for (const WriteMode mode : {WriteMode::kOverwrite, WriteMode::kAccumulate}) {
      LossForward({.z = z.tensor,
                   .r = has_r ? r.tensor : Tensor(),
                   .scale = scale,
                   .loss = loss.tensor,
                   .write_mode = mode},
                  scratch.data(), stream().handle());
      expected += scale * sum;
      bound += StorageError(DType::kFloat32, expected) +
               static_cast<double>(z.values.size()) * 0x1p-52 * scale * magnitude;
      ExpectWithin(loss.tensor, {expected}, {bound}, has_r ? "projection" : "mean");
    }
  }
}

TEST_P(LossCudaTest, Backward) {
  const auto [dtype, num_tokens, hidden_size] = GetParam();
  const DeviceTensor r = Random(DType::kFloat32, {num_tokens, hidden_size}, "r");
  const double scale = 0.37;
  for (const bool has_r : {false, true}) {
    const DeviceTensor dz = Unwritten(dtype, {num_tokens, hidden_size});
    LossBackward({.r = has_r ? r.tensor : Tensor(), .scale = scale, .dz = dz.tensor},
                 stream().handle());
    std::vector<double> reference;
    std::vector<double> bound;
    for (const double weight : r.values) {
      const double expected = scale * (has_r ? weight : 1);
      reference.push_back(expected);
      bound.push_back(2 * kUnit * std::abs(expected) + 1.01 * StorageError(dtype, expected));
    }
    ExpectWithin(dz.tensor, reference, bound, has_r ? "projection" : "mean");
  }
}

std::string NameOf(const testing::TestParamInfo<LossCase>& info) {
  const auto& [dtype, num_tokens, hidden_size] = info.param;
  return fmt::format("{}_{}_{}", Name(dtype), num_tokens, hidden_size);
}

INSTANTIATE_TEST_SUITE_P(Shapes, LossCudaTest, testing::ValuesIn(AllCases()), NameOf);

}  // namespace
}  // namespace sluice::cuda
