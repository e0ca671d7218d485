// Checks for our own bugs: shapes, indices, orders.  Always on, also in optimised builds.
//
//   SLUICE_CHECK(begin < end);
//   SLUICE_CHECK_EQ(x.num_elements(), y.num_elements());
//
// A failed check prints file, line, rank, the expression and (for the comparing forms) both values,
// then aborts. What a person or another machine gave us is not checked here but reported with
// sluice::Error (error.h).
#pragma once

#include <sstream>
#include <string>

namespace sluice {

// The rank that this thread works for, printed by failing checks.  -1, the default, is printed as
// "no rank".
void SetCurrentRank(int rank);
int CurrentRank();

namespace internal {

[[noreturn]] void CheckFailed(const char* file, int line, const std::string& what);

template <typename A, typename B>
[[noreturn]] void CompareFailed(const char* file, int line, const char* expression, const A& a,
                                const B& b) {
  std::ostringstream text;
  text << expression << " (" << a << " vs. " << b << ")";
  CheckFailed(file, line, text.str());
}

}  // namespace internal
}  // namespace sluice

#define SLUICE_CHECK(condition)                                        \
  do {                                                                 \
    if (!(condition)) [[unlikely]]                                     \
      ::sluice::internal::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)

#define SLUICE_COMPARE_(a, op, b)                                                         \
  do {                                                                                    \
    const auto& sluice_a_ = (a);                                                          \
    const auto& sluice_b_ = (b);                                                          \
    if (!(sluice_a_ op sluice_b_)) [[unlikely]]                                           \
      ::sluice::internal::CompareFailed(__FILE__, __LINE__, #a " " #op " " #b, sluice_a_, \
                                        sluice_b_);                                       \
  } while (false)

#define SLUICE_CHECK_EQ(a, b) SLUICE_COMPARE_(a, ==, b)
#define SLUICE_CHECK_NE(a, b) SLUICE_COMPARE_(a, !=, b)
#define SLUICE_CHECK_LT(a, b) SLUICE_COMPARE_(a, <, b)
#define SLUICE_CHECK_LE(a, b) SLUICE_COMPARE_(a, <=, b)
#define SLUICE_CHECK_GT(a, b) SLUICE_COMPARE_(a, >, b)
#define SLUICE_CHECK_GE(a, b) SLUICE_COMPARE_(a, >=, b)
