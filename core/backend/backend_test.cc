#include "core/backend/backend.h"

#include <gtest/gtest.h>

#include <string>

#include "core/base/error.h"

namespace sluice {
namespace {

std::string ErrorOf(const BackendOptions& options) {
  try {
    MakeBackend(options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Backend, OfTheCpuHasAllThreeParts) {
  for (const Precision precision : {Precision::kFloat32, Precision::kFloat64}) {
    const Backend backend = MakeBackend({.precision = precision, .num_threads = 2});
    ASSERT_NE(backend.device, nullptr);
    EXPECT_EQ(backend.device->kind(), DeviceKind::kCpu);
    EXPECT_NE(backend.stream, nullptr);
    EXPECT_NE(backend.kernels, nullptr);
  }
}

TEST(Backend, WithoutKernelsHasTheOtherTwoParts) {
  const Backend backend = MakeBackend({.has_kernels = false});
  EXPECT_NE(backend.device, nullptr);
  EXPECT_NE(backend.stream, nullptr);
  EXPECT_EQ(backend.kernels, nullptr);
}

TEST(KernelWorkspaceBytes, AreWhatTheKernelsReserve) {
  const KernelLimits limits = {.max_tokens = 24,
                               .max_seq_len = 12,
                               .max_batch_size = 2,
                               .hidden_size = 64,
                               .num_heads = 2,
                               .head_dim = 32,
                               .max_features = 256};
  for (const Precision precision : {Precision::kFloat32, Precision::kFloat64}) {
    for (const int num_threads : {1, 3}) {
      const BackendOptions options = {.precision = precision, .num_threads = num_threads};
      const Backend backend = MakeBackend(options);
      backend.kernels->Reserve(limits);
      EXPECT_EQ(backend.device->allocated_bytes(), KernelWorkspaceBytes(options, limits));
    }
  }
}

TEST(Backend, NamesThePrecisionsThatTheDeviceHas) {
  EXPECT_EQ(ErrorOf({.kind = DeviceKind::kCpu, .precision = Precision::kBFloat16}),
            "dtype bf16 is not supported on device cpu; supported there: f32, f64");
  EXPECT_EQ(ErrorOf({.kind = DeviceKind::kCuda, .precision = Precision::kFloat64}),
            "dtype f64 is not supported on device cuda; supported there: f32, tf32, bf16, fp16");
}

TEST(Backend, OfTheCpuHasNoChoiceOfAttention) {
  EXPECT_EQ(ErrorOf({.attention = CausalAttentionImplementation::kCudnn}),
            "attention cudnn is for device cuda only; the cpu has its own");
}

TEST(Backend, SaysThatItWasBuiltWithoutCuda) {
  if (HasCuda()) GTEST_SKIP() << "this build has CUDA";
  EXPECT_EQ(ErrorOf({.kind = DeviceKind::kCuda}),
            "device cuda is not in this program, which was built without it; devices it has: cpu");
}

}  // namespace
}  // namespace sluice
