#include "core/kernels/causal_attention/attention_problem.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <utility>

#include "core/base/check.h"
#include "core/base/rng.h"
#include "core/device/cuda/cuda_check.h"
#include "core/tensor/convert.h"

namespace sluice::cuda {
namespace {

constexpr int64_t kGuardBytes = 4096;
constexpr uint8_t kGuardPattern = 0xa5;

// The values as a tensor of `dtype` holds them.
std::vector<uint8_t> EncodeAs(DType dtype, const std::vector<double>& values) {
  std::vector<uint8_t> bytes(values.size() * static_cast<size_t>(SizeOf(dtype)));
  ConvertFrom(Tensor(bytes.data(), dtype, {static_cast<int64_t>(values.size())}), values);
  return bytes;
}

std::vector<double> DecodeAs(DType dtype, std::vector<uint8_t> bytes) {
  std::vector<double> values(bytes.size() / static_cast<size_t>(SizeOf(dtype)));
  ConvertTo(values, Tensor(bytes.data(), dtype, {static_cast<int64_t>(values.size())}));
  return values;
}

double Dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

void AddScaled(double* to, double factor, const double* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += factor * x[i];
}

// One query of one pair, forward and backward; dkv gathers by position.
struct Query {
  int64_t index;
  int64_t pair;
};
void ReferenceQuery(const AttentionProblem& problem, const AttentionInputs& inputs, Query query,
                    AttentionResults* results, std::vector<double>* dkv) {
  const int64_t d = problem.head_dim;
  const int64_t pairs = problem.num_pairs();
  const double scale = 1 / std::sqrt(static_cast<double>(d));
  const int64_t num_visible = problem.prefix_len + query.index + 1;
  const auto qkv = [&](int64_t position, int role) {
    return inputs.qkv.data() + ((position * pairs + query.pair) * 3 + role) * d;
  };
  const double* q = qkv(num_visible - 1, 0);
  std::vector<double> p(static_cast<size_t>(num_visible));
  double maximum = -std::numeric_limits<double>::infinity();
  for (int64_t j = 0; j < num_visible; ++j) {
    p[static_cast<size_t>(j)] = scale * Dot(q, qkv(j, 1), d);
    maximum = std::max(maximum, p[static_cast<size_t>(j)]);
  }
  double sum = 0;
  for (double& x : p) sum += x = std::exp(x - maximum);
  for (double& x : p) x /= sum;

  const int64_t row = query.index * pairs + query.pair;
  double* out = results->out.data() + row * d;
  for (int64_t j = 0; j < num_visible; ++j) {
    AddScaled(out, p[static_cast<size_t>(j)], qkv(j, 2), d);
  }
  results->lse[static_cast<size_t>(row)] = maximum + std::log(sum);

  const double* dout = inputs.dout.data() + row * d;
  const double delta = Dot(dout, out, d);
  double* dq = results->dqkv.data() + row * 3 * d;
  for (int64_t j = 0; j < num_visible; ++j) {
    const double probability = p[static_cast<size_t>(j)];
    const double ds = scale * probability * (Dot(dout, qkv(j, 2), d) - delta);
    double* dk = dkv->data() + (j * pairs + query.pair) * 2 * d;
    AddScaled(dq, ds, qkv(j, 1), d);
    AddScaled(dk, ds, q, d);
    AddScaled(dk + d, probability, dout, d);
  }
}

}  // namespace

std::string AttentionProblem::ToString() const {
  std::ostringstream text;
  text << Name(dtype) << " prefix_len " << prefix_len << " slice_len " << slice_len
       << " batch_size " << batch_size << " num_heads " << num_heads << " head_dim " << head_dim;
  return text.str();
}

GuardedTensor::GuardedTensor(DType dtype, Shape shape) {
  void* data = nullptr;
  const Tensor sizes(nullptr, dtype, shape);
  SLUICE_CUDA_CHECK(cudaMalloc(&data, static_cast<size_t>(sizes.num_bytes() + kGuardBytes)));
  tensor_ = Tensor(data, dtype, shape);
  Poison();
}

GuardedTensor::GuardedTensor(GuardedTensor&& other) noexcept
    : tensor_(std::exchange(other.tensor_, Tensor())) {}

GuardedTensor& GuardedTensor::operator=(GuardedTensor&& other) noexcept {
  std::swap(tensor_, other.tensor_);
  return *this;
}

GuardedTensor::~GuardedTensor() {
  if (tensor_.present()) cudaFree(tensor_.data());
}

void GuardedTensor::Upload(const std::vector<double>& values) {
  SLUICE_CHECK_EQ(static_cast<int64_t>(values.size()), tensor_.num_elements());
  const std::vector<uint8_t> bytes = EncodeAs(tensor_.dtype(), values);
  SLUICE_CUDA_CHECK(cudaMemcpy(tensor_.data(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice));
}

std::vector<uint8_t> GuardedTensor::DownloadBytes() const {
  std::vector<uint8_t> bytes(static_cast<size_t>(tensor_.num_bytes()));
  SLUICE_CUDA_CHECK(cudaMemcpy(bytes.data(), tensor_.data(), bytes.size(), cudaMemcpyDeviceToHost));
  return bytes;
}

std::vector<double> GuardedTensor::Download() const {
  return DecodeAs(tensor_.dtype(), DownloadBytes());
}

void GuardedTensor::Poison() {
  const auto num_bytes = static_cast<size_t>(tensor_.num_bytes());
  SLUICE_CUDA_CHECK(cudaMemset(tensor_.data(), 0xff, num_bytes));
  SLUICE_CUDA_CHECK(cudaMemset(static_cast<char*>(tensor_.data()) + num_bytes, kGuardPattern,
                               static_cast<size_t>(kGuardBytes)));
  SLUICE_CUDA_CHECK(cudaDeviceSynchronize());  // other streams do not wait for what fills memory
}

bool GuardedTensor::guard_is_intact() const {
  std::vector<uint8_t> guard(static_cast<size_t>(kGuardBytes));
  SLUICE_CUDA_CHECK(cudaMemcpy(guard.data(),
                               static_cast<const char*>(tensor_.data()) + tensor_.num_bytes(),
                               guard.size(), cudaMemcpyDeviceToHost));
  return std::all_of(guard.begin(), guard.end(), [](uint8_t x) { return x == kGuardPattern; });
}

std::vector<double> RandomValues(int64_t n, DType dtype, uint64_t seed, std::string_view name) {
  const RandomStream random(seed, name);
  std::vector<double> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) values[i] = random.Normal(i);
  return DecodeAs(dtype, EncodeAs(dtype, values));
}

AttentionInputs MakeInputs(const AttentionProblem& problem, uint64_t seed) {
  const int64_t row_size = problem.num_pairs() * problem.head_dim;
  return {.qkv = RandomValues(problem.num_keys() * 3 * row_size, problem.dtype, seed, "qkv"),
          .dout = RandomValues(problem.slice_len * row_size, problem.dtype, seed, "dout"),
          .dkv_accumulator = RandomValues(problem.num_keys() * 2 * row_size, DType::kFloat32, seed,
                                          "dkv_accumulator")};
}

AttentionResults ReferenceAttention(const AttentionProblem& problem, const AttentionInputs& inputs,
                                    WriteMode write_mode) {
  const int64_t d = problem.head_dim;
  const int64_t pairs = problem.num_pairs();
  AttentionResults results;
  results.out.resize(static_cast<size_t>(problem.slice_len * pairs * d));
  results.lse.resize(static_cast<size_t>(problem.slice_len * pairs));
  results.dqkv.resize(static_cast<size_t>(problem.slice_len * pairs * 3 * d));
  std::vector<double> dkv = inputs.dkv_accumulator;
  if (write_mode == WriteMode::kOverwrite) std::fill(dkv.begin(), dkv.end(), 0.0);
  for (int64_t i = 0; i < problem.slice_len; ++i) {
    for (int64_t pair = 0; pair < pairs; ++pair) {
      ReferenceQuery(problem, inputs, {i, pair}, &results, &dkv);
    }
  }
  for (int64_t row = 0; row < problem.slice_len * pairs; ++row) {
    std::copy_n(dkv.begin() + (problem.prefix_len * pairs + row) * 2 * d, 2 * d,
                results.dqkv.begin() + (row * 3 + 1) * d);
  }
  dkv.resize(static_cast<size_t>(problem.prefix_len * pairs * 2 * d));
  results.dkv_accumulator = std::move(dkv);
  return results;
}

DeviceAttention::DeviceAttention(const AttentionProblem& p, CausalAttentionImplementation which)
    : problem(p),
      implementation(which),
      qkv(p.dtype, {p.num_keys(), p.batch_size, p.num_heads, 3, p.head_dim}),
      out(p.dtype, {p.slice_len, p.batch_size, p.num_heads, p.head_dim}),
      lse(DType::kFloat32, {p.slice_len, p.batch_size, p.num_heads}),
      dout(p.dtype, {p.slice_len, p.batch_size, p.num_heads, p.head_dim}),
      dqkv(p.dtype, {p.slice_len, p.batch_size, p.num_heads, 3, p.head_dim}),
      dkv_accumulator(DType::kFloat32, {p.num_keys(), p.batch_size, p.num_heads, 2, p.head_dim}),
      workspace(DType::kFloat32,
                {CausalAttentionWorkspaceBytes(which, {.max_slice_len = p.slice_len,
                                                       .max_seq_len = p.num_keys(),
                                                       .max_batch_size = p.batch_size,
                                                       .num_heads = p.num_heads,
                                                       .head_dim = p.head_dim}) /
                 SizeOf(DType::kFloat32)}) {}

void DeviceAttention::Forward(const CausalAttentionForwardArgs& args, cudaStream_t stream) const {
  CausalAttentionForward(args, implementation, workspace.tensor().data(), stream);
}

void DeviceAttention::Backward(const CausalAttentionBackwardArgs& args, cudaStream_t stream) const {
  CausalAttentionBackward(args, implementation, workspace.tensor().data(), stream);
}

CausalAttentionForwardArgs DeviceAttention::forward() const {
  return {.qkv = qkv.tensor(),
          .prefix_len = problem.prefix_len,
          .out = out.tensor(),
          .lse = lse.tensor()};
}

CausalAttentionBackwardArgs DeviceAttention::backward(WriteMode write_mode) const {
  return {.qkv = qkv.tensor(),
          .prefix_len = problem.prefix_len,
          .out = out.tensor(),
          .lse = lse.tensor(),
          .dout = dout.tensor(),
          .dqkv = dqkv.tensor(),
          .dkv_accumulator = dkv_accumulator.tensor(),
          .write_mode = write_mode};
}

}  // namespace sluice::cuda
