#include "core/kernels/causal_attention/causal_attention_cuda.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/device/cuda/gpu_test.h"
#include "core/kernels/causal_attention/attention_problem.h"
#include "core/kernels/cuda/launch.h"

namespace sluice::cuda {
namespace {

using Implementation = CausalAttentionImplementation;

// Bounds on the error of a row, relative to the largest of its norm, the root mean square norm of
// all rows, and NormOfOneTerm.  u is the unit roundoff of the storage type; float32 arithmetic adds
// its own part (sums of up to 128 products, ex2.approx with 2 ulp, on scores of order 10).
//   forward   p is rounded once (relative u each, partly cancelling), out once: 2 u
//   backward  p, ds, out in delta and the result are rounded: 4 u, twice that where delta cancels
double ArithmeticBound() { return 128 * UnitRoundoff(DType::kFloat32); }
double StorageUnit(DType dtype) { return dtype == DType::kFloat32 ? 0 : UnitRoundoff(dtype); }
double ForwardBound(DType dtype) { return 2 * StorageUnit(dtype) + ArithmeticBound(); }
double BackwardBound(DType dtype) { return 8 * StorageUnit(dtype) + 2 * ArithmeticBound(); }

// A key's or query's contribution to a row before anything cancels: its probability times a row of
// head_dim standard normal numbers.  Gradients may cancel to less (to zero, where a query sees one
// key only), their rounding errors do not.
double NormOfOneTerm(const AttentionProblem& problem) {
  return std::sqrt(static_cast<double>(problem.head_dim)) / static_cast<double>(problem.num_keys());
}

struct Bound {
  double relative;
  double minimum_norm;
};
Bound ForwardBoundOf(const AttentionProblem& problem) {
  return {ForwardBound(problem.dtype), NormOfOneTerm(problem)};
}
Bound BackwardBoundOf(const AttentionProblem& problem) {
  return {BackwardBound(problem.dtype), NormOfOneTerm(problem)};
}

// Where `values` is further from `reference` than `bound`; empty if nowhere.
std::string FindMismatch(const std::vector<double>& values, const std::vector<double>& reference,
                         int64_t row_size, Bound bound) {
  if (values.size() != reference.size()) return "different sizes";
  const auto size = static_cast<int64_t>(values.size());
  double square_sum = 0;
  for (double x : reference) square_sum += x * x;
  const double floor =
      std::max(square_sum / static_cast<double>(std::max(size / row_size, int64_t{1})),
               bound.minimum_norm * bound.minimum_norm);
  double worst = 0;
  int64_t worst_row = -1;
  int64_t num_bad_rows = 0;
  for (int64_t row = 0; row < size / row_size; ++row) {
    double error = 0;
    double norm = 0;
    for (int64_t i = row * row_size; i < (row + 1) * row_size; ++i) {
      const auto at = static_cast<size_t>(i);
      error += (values[at] - reference[at]) * (values[at] - reference[at]);
      norm += reference[at] * reference[at];
    }
    const double relative = std::sqrt(error / std::max(norm, floor));
    if (!(relative <= bound.relative)) ++num_bad_rows;
    if (!(relative <= worst)) {
      worst = relative;
      worst_row = row;
    }
  }
  if (num_bad_rows == 0) return "";
  return fmt::format("{} of {} rows beyond {:.2e}; worst row {}: {:.2e}, first element {} for {}",
                     num_bad_rows, size / row_size, bound.relative, worst_row, worst,
                     values[static_cast<size_t>(worst_row * row_size)],
                     reference[static_cast<size_t>(worst_row * row_size)]);
}

// Runs one problem forward and backward and compares everything with float64.
void ExpectMatchesReference(const AttentionProblem& problem, Implementation implementation,
                            WriteMode write_mode, uint64_t seed) {
  SCOPED_TRACE(fmt::format("{} {} {}", Name(implementation), problem.ToString(),
                           write_mode == WriteMode::kOverwrite ? "overwrite" : "accumulate"));
  const AttentionInputs inputs = MakeInputs(problem, seed);
  const AttentionResults expected = ReferenceAttention(problem, inputs, write_mode);
  DeviceAttention device(problem, implementation);
  device.qkv.Upload(inputs.qkv);
  device.dout.Upload(inputs.dout);
  if (write_mode == WriteMode::kAccumulate) device.dkv_accumulator.Upload(inputs.dkv_accumulator);
  device.Forward(nullptr);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  device.Backward(write_mode, nullptr);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);

  const int64_t d = problem.head_dim;
  EXPECT_EQ(FindMismatch(device.out.Download(), expected.out, d, ForwardBoundOf(problem)), "")
      << "out";
  const std::vector<double> lse = device.lse.Download();
  double lse_error = 0;
  for (size_t i = 0; i < lse.size(); ++i) {
    const double error = std::abs(lse[i] - expected.lse[i]);
    lse_error = error <= lse_error ? lse_error : error;
  }
  EXPECT_LE(lse_error, 10 * ArithmeticBound()) << "lse";
  // Gradients of q, k and v have different magnitudes: compared apart.
  const std::vector<double> dqkv = device.dqkv.Download();
  for (int role = 0; role < 3; ++role) {
    std::vector<double> values;
    std::vector<double> references;
    for (size_t i = 0; i < dqkv.size(); ++i) {
      if (static_cast<int>(i / static_cast<size_t>(d) % 3) != role) continue;
      values.push_back(dqkv[i]);
      references.push_back(expected.dqkv[i]);
    }
    EXPECT_EQ(FindMismatch(values, references, d, BackwardBoundOf(problem)), "") << "d"
                                                                                 << "qkv"[role];
  }
  std::vector<double> accumulated = device.dkv_accumulator.Download();
  accumulated.resize(expected.dkv_accumulator.size());
  EXPECT_EQ(FindMismatch(accumulated, expected.dkv_accumulator, d, BackwardBoundOf(problem)), "")
      << "dkv_accumulator";
  for (const GuardedTensor* tensor :
       {&device.out, &device.lse, &device.dqkv, &device.dkv_accumulator, &device.workspace}) {
    EXPECT_TRUE(tensor->guard_is_intact());
  }
}

struct Lengths {
  int64_t prefix_len;
  int64_t slice_len;
  int64_t batch_size;
  int64_t num_heads;
};

// Around the tile sizes 64, 128 and 192, single tokens, and prefixes that no tile divides.
const Lengths kLengths[] = {
    {0, 1, 1, 1},     {0, 37, 2, 3},   {0, 64, 1, 2},    {0, 128, 1, 1}, {0, 129, 1, 2},
    {0, 257, 2, 1},   {1, 1, 1, 3},    {100, 1, 2, 2},   {63, 65, 1, 1}, {128, 128, 1, 2},
    {191, 200, 1, 1}, {300, 77, 1, 2}, {130, 385, 1, 1},
};

class CausalAttentionCudaTest
    : public GpuTest,
      public testing::WithParamInterface<std::tuple<Implementation, DType>> {};

// Whether this GPU has kernels of `implementation` for head_dim 64, by what the GPU is: a test is
// skipped for want of them only where there are none.  cuDNN's depend on its library too, and those
// of GPUs between 8.0 and 9.0 on their shared memory.
bool MustHave(Implementation implementation) {
  const int capability = ComputeCapability();
  if (implementation == Implementation::kCudnn) return false;
  if (implementation == Implementation::kHopper) return capability == 90;
  return capability == 80 || capability == 90;
}

TEST_P(CausalAttentionCudaTest, MatchesFloat64) {
  const auto [implementation, dtype] = GetParam();
  uint64_t seed = 1;
  int num_checked = 0;
  // cuDNN takes half a second to make a plan of each shape.
  const std::vector<int64_t> head_dims =
      implementation == Implementation::kCudnn
          ? std::vector<int64_t>{64, 128}
          : std::vector<int64_t>{64, 128, 80, 96, 16, 8, 24, 48, 104};
  for (const int64_t head_dim : head_dims) {
    if (FindCausalAttentionError(implementation, dtype, head_dim).has_value()) continue;
    for (const Lengths& lengths : kLengths) {
      const AttentionProblem problem = {.dtype = dtype,
                                        .prefix_len = lengths.prefix_len,
                                        .slice_len = lengths.slice_len,
                                        .batch_size = lengths.batch_size,
                                        .num_heads = lengths.num_heads,
                                        .head_dim = head_dim};
      ExpectMatchesReference(problem, implementation, WriteMode::kOverwrite, ++seed);
      ExpectMatchesReference(problem, implementation, WriteMode::kAccumulate, ++seed);
      ++num_checked;
      if (testing::Test::HasFatalFailure()) return;
    }
  }
  if (num_checked == 0) {
    ASSERT_FALSE(MustHave(implementation));
    GTEST_SKIP() << *FindCausalAttentionError(implementation, dtype, 64);
  }
}

// Enough tiles that thread blocks of a persistent kernel take several each, and that the Hopper
// forward takes its form for many tiles; it has another for few.
TEST_P(CausalAttentionCudaTest, MatchesFloat64WithManyTiles) {
  const auto [implementation, dtype] = GetParam();
  int num_checked = 0;
  for (int64_t head_dim : {64, 80, 96, 128}) {
    if (FindCausalAttentionError(implementation, dtype, head_dim).has_value()) continue;
    const AttentionProblem problem = {.dtype = dtype,
                                      .prefix_len = 70,
                                      .slice_len = 130,
                                      .batch_size = head_dim == 64 ? 14 : 4,
                                      .num_heads = 20,
                                      .head_dim = head_dim};
    ExpectMatchesReference(problem, implementation, WriteMode::kAccumulate, 77);
    ++num_checked;
  }
  if (num_checked == 0) {
    ASSERT_FALSE(MustHave(implementation));
    GTEST_SKIP() << *FindCausalAttentionError(implementation, dtype, 64);
  }
}

TEST_P(CausalAttentionCudaTest, GivesTheSameBitsEveryTime) {
  const auto [implementation, dtype] = GetParam();
  for (int64_t head_dim : {64, 128}) {
    if (const auto error = FindCausalAttentionError(implementation, dtype, head_dim)) {
      ASSERT_FALSE(MustHave(implementation));
      GTEST_SKIP() << *error;
    }
    const AttentionProblem problem = {.dtype = dtype,
                                      .prefix_len = 500,
                                      .slice_len = 1500,
                                      .batch_size = 1,
                                      .num_heads = 8,
                                      .head_dim = head_dim};
    const AttentionInputs inputs = MakeInputs(problem, 5);
    DeviceAttention device(problem, implementation);
    device.qkv.Upload(inputs.qkv);
    device.dout.Upload(inputs.dout);
    std::vector<std::vector<uint8_t>> first;
    for (int run = 0; run < 5; ++run) {
      for (GuardedTensor* tensor : {&device.out, &device.lse, &device.dqkv, &device.workspace}) {
        tensor->Poison();
      }
      device.dkv_accumulator.Upload(inputs.dkv_accumulator);
      device.Forward(nullptr);
      device.Backward(WriteMode::kAccumulate, nullptr);
      ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
      std::vector<std::vector<uint8_t>> bytes = {device.out.DownloadBytes(),
                                                 device.lse.DownloadBytes()};
      if (implementation != Implementation::kCudnn) {
        bytes.push_back(device.dqkv.DownloadBytes());
        bytes.push_back(device.dkv_accumulator.DownloadBytes());
      }
      if (run == 0) first = bytes;
      EXPECT_TRUE(bytes == first) << "run " << run << " head_dim " << head_dim;
    }
  }
}

// Uneven slices, forward in order and backward in reverse, give what the whole sequence gives; rows
// of the key/value cache after the slice are NaN and must not be read.
TEST_P(CausalAttentionCudaTest, SlicesEqualTheWhole) {
  const auto [implementation, dtype] = GetParam();
  for (int64_t head_dim : {64, 80, 96, 128, 16}) {
    if (FindCausalAttentionError(implementation, dtype, head_dim).has_value()) continue;
    SCOPED_TRACE(fmt::format("head_dim {}", head_dim));
    const AttentionProblem whole = {.dtype = dtype,
                                    .prefix_len = 0,
                                    .slice_len = 333,
                                    .batch_size = 2,
                                    .num_heads = 2,
                                    .head_dim = head_dim};
    const AttentionInputs inputs = MakeInputs(whole, 11);
    const AttentionResults expected = ReferenceAttention(whole, inputs, WriteMode::kOverwrite);
    DeviceAttention device(whole, implementation);
    device.dout.Upload(inputs.dout);
    const int64_t bounds[] = {0, 100, 101, 229, 333};
    const int64_t row_size = 3 * whole.num_pairs() * head_dim;
    std::vector<double> growing(inputs.qkv.size(), std::nan(""));
    for (int slice = 0; slice < 4; ++slice) {
      const int64_t begin = bounds[slice];
      const int64_t end = bounds[slice + 1];
      std::copy(inputs.qkv.begin() + begin * row_size, inputs.qkv.begin() + end * row_size,
                growing.begin() + begin * row_size);
      device.qkv.Upload(growing);
      device.Forward({.qkv = device.qkv.tensor(),
                      .prefix_len = begin,
                      .out = device.out.tensor().Rows(begin, end - begin),
                      .lse = device.lse.tensor().Rows(begin, end - begin)},
                     nullptr);
    }
    for (int slice = 3; slice >= 0; --slice) {
      const int64_t begin = bounds[slice];
      const int64_t count = bounds[slice + 1] - begin;
      device.Backward({.qkv = device.qkv.tensor(),
                       .prefix_len = begin,
                       .out = device.out.tensor().Rows(begin, count),
                       .lse = device.lse.tensor().Rows(begin, count),
                       .dout = device.dout.tensor().Rows(begin, count),
                       .dqkv = device.dqkv.tensor().Rows(begin, count),
                       .dkv_accumulator = device.dkv_accumulator.tensor(),
                       .write_mode = slice == 3 ? WriteMode::kOverwrite : WriteMode::kAccumulate},
                      nullptr);
    }
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(FindMismatch(device.out.Download(), expected.out, head_dim, ForwardBoundOf(whole)),
              "");
    EXPECT_EQ(FindMismatch(device.dqkv.Download(), expected.dqkv, head_dim, BackwardBoundOf(whole)),
              "");
  }
}

// One forward and backward, captured and launched once.
void ExpectCapturedMatchesReference(const AttentionProblem& problem,
                                    Implementation implementation) {
  SCOPED_TRACE(fmt::format("head_dim {}", problem.head_dim));
  const AttentionInputs inputs = MakeInputs(problem, 3);
  DeviceAttention device(problem, implementation);
  device.qkv.Upload(inputs.qkv);
  device.dout.Upload(inputs.dout);
  // cuDNN makes its plans in the first call, which cannot be captured.
  device.Forward(nullptr);
  device.Backward(WriteMode::kOverwrite, nullptr);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  for (GuardedTensor* tensor : {&device.out, &device.lse, &device.dqkv, &device.workspace}) {
    tensor->Poison();
  }
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  device.Forward(stream);
  device.Backward(WriteMode::kOverwrite, stream);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  const AttentionResults expected = ReferenceAttention(problem, inputs, WriteMode::kOverwrite);
  EXPECT_EQ(
      FindMismatch(device.out.Download(), expected.out, problem.head_dim, ForwardBoundOf(problem)),
      "");
  EXPECT_EQ(FindMismatch(device.dqkv.Download(), expected.dqkv, problem.head_dim,
                         BackwardBoundOf(problem)),
            "");
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

TEST_P(CausalAttentionCudaTest, RunsInACapturedGraph) {
  const auto [implementation, dtype] = GetParam();
  int num_checked = 0;
  for (int64_t head_dim : {64, 80, 96, 128, 16}) {
    if (FindCausalAttentionError(implementation, dtype, head_dim).has_value()) continue;
    ExpectCapturedMatchesReference({.dtype = dtype,
                                    .prefix_len = 30,
                                    .slice_len = 200,
                                    .batch_size = 1,
                                    .num_heads = 2,
                                    .head_dim = head_dim},
                                   implementation);
    ++num_checked;
  }
  if (num_checked == 0) {
    ASSERT_FALSE(MustHave(implementation));
    GTEST_SKIP() << *FindCausalAttentionError(implementation, dtype, 64);
  }
}

INSTANTIATE_TEST_SUITE_P(All, CausalAttentionCudaTest,
                         testing::Values(std::tuple(Implementation::kTile, DType::kFloat32),
                                         std::tuple(Implementation::kTile, DType::kBFloat16),
                                         std::tuple(Implementation::kTile, DType::kFloat16),
                                         std::tuple(Implementation::kHopper, DType::kBFloat16),
                                         std::tuple(Implementation::kHopper, DType::kFloat16),
                                         std::tuple(Implementation::kSmall, DType::kBFloat16),
                                         std::tuple(Implementation::kSmall, DType::kFloat16),
                                         std::tuple(Implementation::kCudnn, DType::kBFloat16),
                                         std::tuple(Implementation::kCudnn, DType::kFloat16)),
                         [](const auto& test) {
                           return fmt::format("{}_{}", Name(std::get<0>(test.param)),
                                              Name(std::get<1>(test.param)));
                         });

using CausalAttentionCudaErrors = GpuTest;

TEST_F(CausalAttentionCudaErrors, NamesWhatIsAllowed) {
  EXPECT_EQ(FindCausalAttentionError(Implementation::kTile, DType::kFloat64, 64),
            "causal attention on cuda has no f64; valid: f32, tf32, bf16, fp16");
  EXPECT_EQ(FindCausalAttentionError(Implementation::kTile, DType::kBFloat16, 100),
            "causal attention on cuda has no head_dim 100; valid: multiples of 8 up to 128");
  EXPECT_EQ(FindCausalAttentionError(Implementation::kTile, DType::kBFloat16, 136),
            "causal attention on cuda has no head_dim 136; valid: multiples of 8 up to 128");
  EXPECT_FALSE(FindCausalAttentionError(Implementation::kTile, DType::kFloat32, 80).has_value());
  EXPECT_TRUE(FindCausalAttentionError(Implementation::kHopper, DType::kFloat32, 64).has_value());
  EXPECT_EQ(DefaultCausalAttention(DType::kFloat32, 64), Implementation::kTile);
}

TEST(FindMismatchTest, SeesOneWrongElement) {
  const Bound bound = {BackwardBound(DType::kBFloat16), 1};
  const std::vector<double> reference = RandomValues(64 * 64, DType::kFloat32, 1, "reference");
  std::vector<double> values = reference;
  EXPECT_EQ(FindMismatch(values, reference, 64, bound), "");
  values[1000] += 1;
  EXPECT_NE(FindMismatch(values, reference, 64, bound), "");
  values[1000] = std::nan("");
  EXPECT_NE(FindMismatch(values, reference, 64, bound), "");
}

}  // namespace
}  // namespace sluice::cuda
