#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

// Every scheme with counts at the edges of what it allows.
TEST(SchemesCorpus, EveryShapeIsBuiltOrRefused) {
  const std::vector<uint8_t> counts = {1, 2, 3, 5, 13, 128};
  for (uint8_t scheme = 0; scheme < 16; ++scheme) {
    for (const uint8_t num_ranks : counts) {
      for (const uint8_t num_micro_batches : counts) {
        for (const uint8_t num_slices : counts) {
          for (const uint8_t num_chunks : counts) {
            const uint8_t bytes[] = {scheme, num_ranks, num_micro_batches, num_slices, num_chunks};
            ASSERT_EQ(LLVMFuzzerTestOneInput(bytes, sizeof(bytes)), 0);
          }
        }
      }
    }
  }
}

}  // namespace
