#include "core/kernels/causal_attention/attention_implementation.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace sluice {
namespace {

TEST(AttentionImplementation, EveryChoiceIsRead) {
  EXPECT_EQ(AttentionChoices(),
            (std::vector<std::string>{"default", "tile", "hopper", "small", "cudnn"}));
  for (const std::string& choice : AttentionChoices()) {
    const auto implementation = ParseAttention(choice);
    EXPECT_EQ(implementation ? Name(*implementation) : "default", choice);
  }
}

TEST(AttentionImplementation, OtherNamesAreRefused) {
  try {
    ParseAttention("cuDNN");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("default, tile, hopper, small, cudnn"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace sluice
