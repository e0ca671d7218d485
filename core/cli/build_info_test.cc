#include "core/cli/build_info.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

bool IsHexHash(const std::string& text) {
  return text.size() >= 40 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

TEST(BuildInfo, NamesACommitOrSaysThatThereIsNone) {
  const BuildInfo& info = GetBuildInfo();
  if (info.commit == "unknown") {
    EXPECT_EQ(info.tree, "unknown");
  } else {
    EXPECT_TRUE(IsHexHash(info.commit)) << info.commit;
    EXPECT_TRUE(info.tree == "clean" || info.tree == "dirty") << info.tree;
  }
}

TEST(BuildInfo, AgreesWithTheCompiler) {
  const BuildInfo& info = GetBuildInfo();
#if defined(__clang__)
  EXPECT_NE(info.compiler.find("lang"), std::string::npos) << info.compiler;
#else
  EXPECT_EQ(info.compiler, "gcc " __VERSION__);
#endif
  EXPECT_NE(info.flags.find("-std=c++20"), std::string::npos) << info.flags;
  EXPECT_EQ(info.flags.find("-Wall"), std::string::npos) << info.flags;
#if defined(__x86_64__)
  EXPECT_NE(info.flags.find("-march=x86-64-v3"), std::string::npos) << info.flags;
#endif
#if defined(NDEBUG)
  EXPECT_FALSE(info.has_asserts);
  EXPECT_EQ(info.mode, "opt");
#else
  EXPECT_TRUE(info.has_asserts);
  EXPECT_NE(info.mode, "opt");
#endif
}

TEST(BuildInfo, NamesTheSanitizer) {
#if defined(__SANITIZE_ADDRESS__)
  EXPECT_EQ(GetBuildInfo().sanitizer, "address");
#elif defined(__SANITIZE_THREAD__)
  EXPECT_EQ(GetBuildInfo().sanitizer, "thread");
#endif
  EXPECT_EQ(internal::SanitizerOf("-O2 -fsanitize=undefined -g"), "undefined");
  EXPECT_EQ(internal::SanitizerOf("-g -fsanitize=thread"), "thread");
  EXPECT_EQ(internal::SanitizerOf("-O2 -DNDEBUG"), "none");
}

}  // namespace
}  // namespace sluice
