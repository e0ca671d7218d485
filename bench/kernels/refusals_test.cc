// Bad input and benchmarks that cannot run are errors before anything is timed.

#include <gtest/gtest.h>

#include "core/cli/expect_refused.h"

namespace sluice {
namespace {

const char kProgram[] = "bench/kernels/matmul";
const char kAttention[] = "bench/kernels/causal_attention";

TEST(Refusals, AFilterThatMatchesNothing) {
  ExpectRefused({kProgram, "--filter=nothing"}, {"matches no benchmark"});
}

TEST(Refusals, OneLengthTwice) {
  ExpectRefused({kProgram, "--slice_lens=3,3"}, {"is given twice"});
}

TEST(Refusals, MoreMemoryThanThereIs) {
  ExpectRefused({kProgram, "--model=gpt3-175b", "--slice_lens=1048576", "--batch_size=1024"},
                {"out of memory on cpu"});
}

TEST(Refusals, AttentionThatIsNone) {
  ExpectRefused({kAttention, "--attention=hoper"}, {"did you mean 'hopper'?"});
  ExpectRefused({kAttention, "--attention=cudnn,"}, {"unknown attention ''"});
  ExpectRefused({kAttention, "--attention=default,default"}, {"is given twice"});
}

TEST(Refusals, AChoiceOfAttentionOnTheCpu) {
  ExpectRefused({kAttention, "--attention=default,cudnn"},
                {"attention cudnn is for device cuda only"});
}

}  // namespace
}  // namespace sluice
