#include "core/base/shared_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "core/base/error.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string ErrorOf(SharedLibrary& library, const char* name) {
  try {
    library.Find<void()>(name);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(SharedLibrary, HandsCallsOn) {
  static SharedLibrary library({.file = "libm.so.6", .user = "this test"});
  EXPECT_EQ(library.Find<double(double)>("sqrt")(9), 3);
  EXPECT_EQ(SLUICE_FUNCTION_OF(library, floorf)(2.5F), 2);
}

TEST(SharedLibrary, NamesWhatIsMissingAndWhoNeedsIt) {
  SharedLibrary missing({.file = "libnone.so.1", .user = "--comm=none"});
  EXPECT_THAT(ErrorOf(missing, "anything"),
              AllOf(HasSubstr("--comm=none needs libnone.so.1"), HasSubstr("LD_LIBRARY_PATH")));
  SharedLibrary other({.file = "libm.so.6", .user = "this test"});
  EXPECT_THAT(ErrorOf(other, "ncclSend"),
              AllOf(HasSubstr("this test cannot use libm.so.6"), HasSubstr("ncclSend")));
}

}  // namespace
}  // namespace sluice
