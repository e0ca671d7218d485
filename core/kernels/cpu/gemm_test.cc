#include "core/kernels/cpu/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/base/rng.h"
#include "core/kernels/cpu/blas.h"
#include "core/kernels/cpu/gemm_blocks.h"

namespace sluice::cpu {
namespace {

// The own product in vectors that every CPU has, so that it is tested without AVX-512 too.
struct Bytes16 {
  static constexpr int kVectorBytes = 16;
  static constexpr int kMaxRows = 6;
};
struct Bytes32 {
  static constexpr int kVectorBytes = 32;
  static constexpr int kMaxRows = 6;
};

template <typename T>
struct Variant {
  std::string name;
  void (*run)(const GemmCall<T>&);
};

template <typename T>
std::vector<Variant<T>> Variants() {
  return {
      {"this machine's",
       [](const GemmCall<T>& call) {
         Gemm<T>(call.size, call.alpha, call.a, call.b, call.write_mode, call.c, call.scratch);
       }},
      {"16 bytes", [](const GemmCall<T>& call) { GemmBlocks<Bytes16, T>(call).Run(); }},
      {"32 bytes", [](const GemmCall<T>& call) { GemmBlocks<Bytes32, T>(call).Run(); }},
      {"OpenBLAS",
       [](const GemmCall<T>& call) {
         BlasGemm<T>(call.size, call.alpha, call.a, call.b, call.write_mode, call.c);
       }},
  };
}

// A stored matrix with a few elements between its rows that are NaN: a product that uses one of
// them shows it.  Nothing lies behind the last row, where a sanitizer would see a read.
template <typename T>
class Stored {
 public:
  Stored(const std::string& name, int64_t num_rows, int64_t num_columns)
      : stride_(num_columns + 3),
        values_(static_cast<size_t>(num_rows == 0 ? 0 : num_rows * stride_ - 3),
                std::numeric_limits<T>::quiet_NaN()) {
    const RandomStream stream(1, name);
    for (int64_t i = 0; i < num_rows; ++i) {
      for (int64_t j = 0; j < num_columns; ++j) {
        At(i, j) = static_cast<T>(stream.Uniform(static_cast<uint64_t>(i * num_columns + j)) - 0.5);
      }
    }
  }

  T& At(int64_t i, int64_t j) { return values_[static_cast<size_t>(i * stride_ + j)]; }
  Matrix<const T> View(Transpose transpose) const { return {values_.data(), stride_, transpose}; }
  Matrix<T> View() { return {values_.data(), stride_}; }
  const std::vector<T>& values() const { return values_; }

 private:
  int64_t stride_;
  std::vector<T> values_;
};

struct Case {
  GemmSize size;
  Transpose a;
  Transpose b;
  WriteMode write_mode;
  double alpha;
};

std::vector<Case> Cases() {
  std::vector<Case> cases;
  const GemmSize sizes[] = {{1, 1, 1},      {1, 40, 7},   {3, 5, 300},   {13, 31, 16},
                            {14, 32, 256},  {15, 33, 17}, {29, 65, 257}, {128, 64, 64},
                            {400, 70, 513}, {2, 1700, 9}, {17, 3, 0},    {37, 100, 64}};
  for (const GemmSize& size : sizes) {
    for (const Transpose a : {Transpose::kNo, Transpose::kYes}) {
      for (const Transpose b : {Transpose::kNo, Transpose::kYes}) {
        cases.push_back({size, a, b, WriteMode::kOverwrite, 1});
        cases.push_back({size, a, b, WriteMode::kAccumulate, 0.125});
      }
    }
  }
  return cases;
}

template <typename T>
class GemmTest : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(GemmTest, Types);

// Every element within the worst case of a sum in any order, (k + 2) u sum |a b|, and nothing else
// of c's memory touched.
TYPED_TEST(GemmTest, IsRightInEveryFormAndSize) {
  using T = TypeParam;
  std::vector<T> scratch(static_cast<size_t>(GemmScratchSize<T>()));
  for (const Variant<T>& variant : Variants<T>()) {
    for (const auto& [size, a_form, b_form, write_mode, alpha] : Cases()) {
      const auto [m, n, k] = size;
      const bool a_transposed = a_form == Transpose::kYes, b_transposed = b_form == Transpose::kYes;
      Stored<T> a("a", a_transposed ? k : m, a_transposed ? m : k);
      Stored<T> b("b", b_transposed ? n : k, b_transposed ? k : n);
      Stored<T> c("c", m, n);
      Stored<T> expected("c", m, n);
      const bool accumulates = write_mode == WriteMode::kAccumulate;
      if (!accumulates) {
        for (int64_t i = 0; i < m; ++i) {
          for (int64_t j = 0; j < n; ++j) c.At(i, j) = std::numeric_limits<T>::quiet_NaN();
        }
      }
      variant.run({size, static_cast<T>(alpha), a.View(a_form), b.View(b_form), write_mode,
                   c.View(), scratch.data()});
      SCOPED_TRACE(variant.name + " " + std::to_string(m) + " " + std::to_string(n) + " " +
                   std::to_string(k) + (a_transposed ? " T" : " N") + (b_transposed ? "T" : "N"));
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          const double old = accumulates ? static_cast<double>(expected.At(i, j)) : 0;
          double sum = old, magnitude = std::abs(old);
          for (int64_t p = 0; p < k; ++p) {
            const double product = alpha *
                                   static_cast<double>(a_transposed ? a.At(p, i) : a.At(i, p)) *
                                   static_cast<double>(b_transposed ? b.At(j, p) : b.At(p, j));
            sum += product;
            magnitude += std::abs(product);
          }
          const double u = std::numeric_limits<T>::epsilon() / 2.0;
          ASSERT_NEAR(static_cast<double>(c.At(i, j)), sum,
                      (static_cast<double>(k) + 2) * 2 * u * magnitude)
              << i << ", " << j;
          c.At(i, j) = expected.At(i, j) = 0;
        }
      }
      for (size_t i = 0; i < c.values().size(); ++i) {
        ASSERT_EQ(std::isnan(c.values()[i]), std::isnan(expected.values()[i])) << i;
      }
    }
  }
}

// An element is the same, bit for bit, whatever part of the result a call computes.
TYPED_TEST(GemmTest, DoesNotDependOnTheShare) {
  using T = TypeParam;
  const GemmSize size = {130, 129, 300};
  std::vector<T> scratch(static_cast<size_t>(GemmScratchSize<T>()));
  const Stored<T> a("a", size.m, size.k), b("b", size.k, size.n);
  for (const Variant<T>& variant : Variants<T>()) {
    // OpenBLAS does not promise it.
    if (variant.name == "OpenBLAS") continue;
    if (variant.name == "this machine's" && !HasOwnGemm()) continue;
    Stored<T> whole("c", size.m, size.n), parts("c", size.m, size.n);
    variant.run({size, 1, a.View(Transpose::kNo), b.View(Transpose::kNo), WriteMode::kAccumulate,
                 whole.View(), scratch.data()});
    for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 51}, {51, 96}, {96, 129}}) {
      Matrix<const T> b_part = b.View(Transpose::kNo);
      Matrix<T> c_part = parts.View();
      b_part.data += begin;
      c_part.data += begin;
      variant.run({{size.m, end - begin, size.k},
                   1,
                   a.View(Transpose::kNo),
                   b_part,
                   WriteMode::kAccumulate,
                   c_part,
                   scratch.data()});
    }
    for (int64_t i = 0; i < size.m; ++i) {
      for (int64_t j = 0; j < size.n; ++j)
        ASSERT_EQ(whole.At(i, j), parts.At(i, j)) << variant.name;
    }
  }
}

}  // namespace
}  // namespace sluice::cpu
